"""Adjusted areas as run records and reports have them: numbers, or why there are none.

What they take for granted is said in docs/label.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.errors import UsageError
from segflow.references.stored import Reference, record_paths
from segflow.scores.areas import LEVEL, AdjustedAreas, NeverPredictedError, adjusted_areas
from segflow.scores.confusion import number

_FEW = 30  # images: below, what one of them holds moves the interval's own width too far
_FAR = 0.1  # a class's share of the pixels here and there, apart by more: much
_NOTABLE, _TIMES = 0.01, 3  # or one of them at least this, and this many times the other
_RARE = 10  # images that predict or show a class: below, its interval is little more than a guess
_NAMED = 3  # classes in a sentence
_HOW = ("tta", "windows", "window_overlap")


def adjusted_for_labels(
    bundle: Path,
    model_fingerprint: str,
    config: Mapping[str, Any],
    classes: Sequence[Mapping[str, Any]],
    images: Mapping[str, float | None],
    by_rows: int = 0,
) -> dict[str, Any]:
    """Areas of labels, adjusted by the reference in the model's bundle that suits them best.

    Args:
        bundle: The model's folder, whose references are looked through.
        model_fingerprint: The bundle's.
        config: How the images were labelled: `tta`, `windows`, `window_overlap`.
        classes: By id; of each its `id`, `name`, `pixels` mapped, and `area`, if there is one.
        images: The `effective_number` of those that were labelled, by `pixels` and by `area`.
        by_rows: How many of them were giants, over which windows slid.

    Returns:
        What `adjusted` gives; without a reference that fits, why there is none.
    """
    references, warnings = _sound_references(bundle)
    own = [r for r in references if r.record["model_fingerprint"] == model_fingerprint]
    unfit = [_unfit(r, config) for r in own]
    alike = [r for r, reason in zip(own, unfit, strict=True) if reason is None]
    if not alike:
        return _none(_lacking(bundle, unfit), warnings)
    best = max(alike, key=_worth)
    found = adjusted(best, classes, images)
    if by_rows and _is_stored(best) and _resize(best.record) != "tile":
        warnings.append(
            f"windows slid over {by_rows} giants, which the model saw otherwise than the "
            "reference's images: it may err otherwise there"
        )
    return {**found, "warnings": [*warnings, *found["warnings"]]}


def adjusted(
    reference: Reference,
    classes: Sequence[Mapping[str, Any]],
    images: Mapping[str, float | None],
) -> dict[str, Any]:
    """Areas adjusted by one reference.

    Args:
        reference: Of the model that mapped them.
        classes: As for `adjusted_for_labels`.
        images: As for `adjusted_for_labels`.

    Returns:
        `level`; `reference`, what it is; `reason`, why `classes` is null, if it is; `warnings`;
        and `classes`: of each `id`, `name`, `pixels`, `adjusted_pixels`, `pixels_standard_error`,
        `pixels_interval`, and the same of `area`, null where no area is known; and how many
        reference images predict it and show it, `images_predicting` and `images_showing`.
    """
    described = _described(reference)
    pixels = np.array([entry["pixels"] for entry in classes], np.int64)
    if not pixels.sum():
        return _none("no pixel is mapped", reference=described)
    try:
        by_pixels = _adjust(reference, pixels, images["pixels"])
        areas = _areas(classes)
        by_area = None if areas is None else _adjust(reference, areas, images["area"])
    except NeverPredictedError as error:
        names = _listed([repr(classes[i]["name"]) for i in error.classes])
        reason = f"{names}: {error.share:.1%} of the map, but never predicted in the reference"
        return _none(reason, reference=described)
    except UsageError as error:
        return _none(str(error))
    rows = [
        {
            "id": entry["id"],
            "name": entry["name"],
            **_numbers("pixels", by_pixels, i),
            "pixels": entry["pixels"],
            **_numbers("area", by_area, i),
            "images_predicting": int(by_pixels.predicting[i]),
            "images_showing": int(by_pixels.showing[i]),
        }
        for i, entry in enumerate(classes)
    ]
    return {
        "level": LEVEL,
        "reference": described,
        "reason": None,
        "warnings": _doubts(reference, by_pixels, [entry["name"] for entry in classes]),
        "classes": rows,
    }


def _unfit(reference: Reference, config: Mapping[str, Any]) -> str | None:
    """Why the areas of labels cannot be adjusted by a reference of their model; None: they can."""
    record, name = reference.record, reference.path.name
    if any(record.get(key) not in (None, config.get(key)) for key in _HOW):
        flags = [f"--{key.replace('_', '-')} {config[key]}" for key in _HOW if key in config]
        return f"{name} was not made with {' '.join(flags)}: evaluate so"
    # Windows at an image's own scale are what tiles are; all else was brought to another scale.
    if _is_stored(reference) and config.get("windows") == "always" and _resize(record) != "tile":
        return (
            f"{name} is of stored examples ({_resize(record)}), while windows slid over all that "
            "was labelled, at its own scale: evaluate images and masks with --windows always"
        )
    if record["data"].get("split") == "train" and record.get("trained_on") is None:
        return f"{name} is of the split 'train', which models are trained on: evaluate another"
    return None


def _is_stored(reference: Reference) -> bool:
    return bool(reference.record["size"] == "stored")


def _resize(record: Mapping[str, Any]) -> str:
    return str(record.get("resize"))


def _lacking(bundle: Path, unfit: Sequence[str | None]) -> str:
    """Why there is no reference; `unfit` says it of each that the model has."""
    if not _is_folder(bundle):
        return f"the model {bundle} is not there any more"
    if unfit:
        return f"no reference of {bundle} fits: {'; '.join(filter(None, unfit[-_NAMED:]))}"
    return (
        f"{bundle} holds no reference: score the model with segflow evaluate on images that it was "
        "not trained on"
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # nothing optional may stop a commit
        return False


def _sound_references(bundle: Path) -> tuple[list[Reference], list[str]]:
    """The references that can be read, and a line for each other one."""
    references: list[Reference] = []
    try:
        paths = record_paths(bundle)
    except UsageError as error:
        return references, [str(error)]
    problems = []
    for path in paths:
        try:
            references.append(Reference.load(path))
        except UsageError as error:
            problems.append(str(error))
    return references, problems


def _worth(reference: Reference) -> tuple[Any, ...]:
    """Enough images come first, then what is known of them and how near it is to labelling.

    Of a dataset's splits, val has chosen the weights that were kept.
    """
    record = reference.record
    nearness = (record["size"] == "original", record["data"].get("split") == "test")
    known = record.get("trained_on") is not None
    return reference.images >= _FEW, known, *nearness, reference.images, str(record["started"])


def _none(
    reason: str, warnings: Sequence[str] = (), reference: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "level": LEVEL,
        "reference": reference,
        "reason": reason,
        "warnings": list(warnings),
        "classes": None,
    }


def _described(reference: Reference) -> dict[str, Any]:
    names = ("data", "size", *_HOW, "images", "trained_on", "evaluation", "started")
    return {
        "path": str(reference.path.absolute()),
        "sha256": reference.sha256,
        **{name: reference.record.get(name) for name in names},
    }


def _adjust(reference: Reference, mapped: NDArray[Any], images: float | None) -> AdjustedAreas:
    return adjusted_areas(mapped, lambda: reference.matrices(len(mapped)), images or 0)


def _areas(classes: Sequence[Mapping[str, Any]]) -> NDArray[np.float64] | None:
    """Mapped areas; None if none is known."""
    found = [entry.get("area") for entry in classes]
    return np.array([a or 0 for a in found], np.float64) if any(found) else None


def _numbers(what: str, found: AdjustedAreas | None, i: int) -> dict[str, Any]:
    names = (what, f"adjusted_{what}", f"{what}_standard_error", f"{what}_interval")
    if found is None:
        return dict.fromkeys(names)
    values = (found.mapped, found.adjusted, found.standard_error, found.low, found.high)
    *middle, low, high = (number(value[i]) for value in values)
    return dict(zip(names, (*middle, None if low is None else [low, high]), strict=True))


def _doubts(reference: Reference, found: AdjustedAreas, names: Sequence[str]) -> list[str]:
    """What speaks against relying on the adjustment, a line each."""
    lines = []
    if reference.images < _FEW:
        lines.append(
            f"the reference has {reference.images} "
            f"{'image' if reference.images == 1 else 'images'} only: too few to rely on intervals"
        )
    if reference.record.get("trained_on") is None:
        lines.append(
            "the dataset that the model was trained on is not at hand, so images of the reference "
            "may be among it: the model may look better than it is"
        )
    if reference.record["data"].get("split") == "val":
        lines.append(
            "the split val may have chosen the weights that were kept: the model may look better "
            "than it is"
        )
    lines += _rare(found, names)
    if apart := _apart(found, names):
        lines.append(
            f"classes have other shares of the pixels here than in the reference: {apart}; they "
            "may be confused in other ways, too"
        )
    return lines


def _rare(found: AdjustedAreas, names: Sequence[str]) -> list[str]:
    """Classes of which too few reference images tell anything."""
    mapped, predicting, showing = found.mapped > 0, found.predicting, found.showing
    lines = []
    if (never := mapped & (predicting == 0)).any():
        share = found.mapped[never].sum() / found.mapped.sum()
        lines.append(
            f"never predicted in the reference: {_some(names, never)}; {100 * share:.1g} % of the "
            "map is left as mapped, and may be anything: intervals are wider by as much"
        )
    if (once := mapped & (predicting == 1)).any():
        lines.append(
            f"predicted in one image of the reference only: {_some(names, once)}; what is mapped "
            "so may be anything: intervals are wider by as much"
        )
    few = (mapped & (predicting > 1) & (predicting < _RARE)) | (
        (found.adjusted > 0) & (showing < _RARE) & ~never & ~once
    )
    if few.any():
        told = [f"{n} ({p} and {s})" for n, p, s in zip(names, predicting, showing, strict=True)]
        lines.append(
            f"few images of the reference predict or show {_some(told, few)}: their intervals, if "
            "there are any, are too narrow"
        )
    return lines


def _some(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    return _listed([name for name, taken in zip(names, chosen, strict=True) if taken])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if names[_NAMED:] else ""
    return ", ".join(names[:_NAMED]) + more


def _apart(found: AdjustedAreas, names: Sequence[str]) -> str:
    """The classes whose shares differ much, those that differ most first."""
    here, there = found.mapped / found.mapped.sum(), found.reference
    high, low = np.maximum(here, there), np.minimum(here, there)
    much = (high - low > _FAR) | ((high >= _NOTABLE) & (high > _TIMES * low))
    order = [i for i in np.argsort(low - high, kind="stable").tolist() if much[i]]
    return _listed([f"{names[i]} {here[i]:.1%} (there {there[i]:.1%})" for i in order])
