"""The bundles that an ensemble is made of: whether they go together, and at what size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segflow.data.config import parse_image_size
from segflow.dataset import Dataset
from segflow.ensemble.config import EnsembleConfig
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from segflow.train.bundle import Bundle


@dataclass(frozen=True)
class Members:
    """Bundles that can be averaged.

    Attributes:
        bundles: In the order given; two or more.
        image_size: (height, width) in pixels of the ensemble.
    """

    bundles: tuple[Bundle, ...]
    image_size: tuple[int, int]

    @property
    def first(self) -> Bundle:
        """One of them, for what all have in common."""
        return self.bundles[0]


def load_members(config: EnsembleConfig) -> Members:
    """Reads the bundles and checks that they mean the same and are fed alike.

    Raises:
        UsageError: A folder holds no sound bundle, one model is given twice, or two bundles
            differ in what a mean cannot bridge.
    """
    bundles = tuple(Bundle.load(path) for path in config.model)
    for index, bundle in enumerate(bundles):
        for other in bundles[:index]:
            _require_alike(other, bundle)
    size = max((b.image_size for b in bundles), key=lambda size: size[0] * size[1])
    if config.image_size is not None:
        size = parse_image_size(config.image_size)
    for bundle in bundles:
        _require_scale(bundle.resize, size, "the ensemble", bundle.image_size, f"{bundle.folder}")
    return Members(bundles, size)


def load_dataset(config: EnsembleConfig, members: Members) -> Dataset | None:
    """The dataset to score on, if one is given; each of its files is compared with its record.

    Raises:
        UsageError: It is not sound, has no such split, or is not of the kind that the members
            were trained on.
    """
    if config.dataset is None:
        return None
    dataset, first = Dataset.load(config.dataset), members.first
    dataset.split(config.split)
    what = f"dataset {dataset.folder}"
    _require_equal(
        f"model {first.folder} and {what}",
        (first.label_map, dataset.label_map),
        {"resizing": (first.resize, dataset.resize)},
    )
    _require_scale(first.resize, members.image_size, "the ensemble", dataset.image_size, what)
    dataset.check_shards([config.split])
    return dataset


def _require_alike(one: Bundle, other: Bundle) -> None:
    if one.fingerprint == other.fingerprint:
        raise UsageError(
            f"--model {one.folder} and {other.folder} are the same model; give each "
            "once, and --member-weights if one is to count more"
        )
    _require_equal(
        f"models {one.folder} and {other.folder}",
        (one.label_map, other.label_map),
        {
            "resizing": (one.resize, other.resize),
            "bands": (one.bands, other.bands),
            "value range": (one.value_range, other.value_range),
        },
    )


def _require_equal(
    who: str, label_maps: tuple[LabelMap, LabelMap], pairs: Mapping[str, tuple[Any, Any]]
) -> None:
    differences = [f"{name}: {a} and {b}" for name, (a, b) in pairs.items() if a != b]
    if difference := label_maps[0].difference(label_maps[1]) or next(iter(differences), ""):
        raise UsageError(
            f"{who} differ in their {difference}; only what was trained on alike data can be "
            "averaged"
        )


def _require_scale(
    resize: str, one: tuple[int, int], what: str, other: tuple[int, int], whose: str
) -> None:
    """Refuses sizes between which scaling would show a model what it has not been trained on.

    A picture that was stretched may be stretched again. One that has kept its aspect ratio must
    go on keeping it, and tiles are at their pictures' own scale.
    """
    if resize == "stretch" or one == other:
        return
    keeps_aspect = abs(other[0] / one[0] * one[1] - other[1]) < 1
    if resize != "tile" and keeps_aspect:
        return
    demand = "of one size" if resize == "tile" else "of one aspect ratio"
    raise UsageError(
        f"{what} takes {_text(one)} pixels, {whose} {_text(other)}; with --resize {resize} all "
        f"must be {demand}"
    )


def _text(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
