"""Writing `bundle.json`, which commits a bundle whose other files are in place."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segflow import __version__, hashing, storage
from segflow.dataset import Dataset
from segflow.label_map import LabelMap
from segflow.train.bundle import (
    ALL_VALUES,
    FORMAT_VERSION,
    MODEL_NAME,
    RECORD_NAME,
    Bundle,
    fingerprint_of,
)


def write_record(
    folder: str | Path,
    dataset: Dataset,
    *,
    architecture: Mapping[str, Any],
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
) -> Bundle:
    """Commits the bundle of a training.

    Args:
        folder: Where `model.keras` lies.
        dataset: What the model was trained on.
        architecture: Name, parameters, size; `normalisation`, where it is known.
        training: Settings and course of the training.
        scores: As `segflow.scores.summarize` gives them, and what they were measured on.
        calibration: As `segflow.scores.calibration.calibration` gives it.
    """
    return _commit(
        Path(folder),
        {
            **_use(
                dataset.label_map,
                dataset.image_size,
                dataset.resize,
                dataset.record.get("bands"),
                dataset.record.get("value_range", ALL_VALUES),
            ),
            "normalisation": {
                "input": "RGB, 0-255",
                "inside_model": architecture.get("normalisation", "the model's own"),
            },
            "architecture": dict(architecture),
            "training": dict(training),
            "dataset": _dataset(dataset),
            **_scores(scores, calibration),
        },
    )


def write_ensemble_record(
    folder: str | Path,
    like: Bundle,
    image_size: tuple[int, int],
    *,
    architecture: Mapping[str, Any],
    ensemble: Mapping[str, Any],
    members: Sequence[Mapping[str, Any]],
    dataset: Dataset | None = None,
    scores: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> Bundle:
    """Commits the bundle of an ensemble.

    Args:
        folder: Where `model.keras` lies.
        like: A member: all have its label map, resizing, bands and range of values.
        image_size: (height, width) in pixels that the ensemble takes.
        architecture: Name, parameters, size.
        ensemble: The settings that it was made with.
        members: Of each, where it lies, its fingerprint, its weight and its scores.
        dataset: What it was scored on; None if it was not.
        scores: As for `write_record`; None likewise.
        calibration: As for `write_record`; None likewise.
    """
    bands = None if like.bands is None else list(like.bands)
    return _commit(
        Path(folder),
        {
            **_use(like.label_map, image_size, like.resize, bands, list(like.value_range)),
            "normalisation": {"input": "RGB, 0-255", "inside_model": "per member"},
            "architecture": dict(architecture),
            "training": {},
            "ensemble": dict(ensemble),
            "members": [dict(member) for member in members],
            "dataset": None if dataset is None else _dataset(dataset),
            **_scores(scores, calibration),
        },
    )


def write_adopted_record(
    folder: str | Path,
    label_map: LabelMap,
    image_size: tuple[int, int],
    resize: str,
    reading: tuple[Sequence[int] | None, Sequence[int]],
    *,
    source: Mapping[str, Any],
    weights: int,
    flops: int,
) -> Bundle:
    """Commits the bundle of somebody's Keras file.

    Args:
        folder: Where `model.keras` lies.
        label_map: What the logits stand for.
        image_size: (height, width) in pixels that the model takes.
        resize: How images came to that size when it was trained.
        reading: The bands that it was trained on, and the range of values.
        source: Which file that was, by address and SHA-256, and what it was said to be.
        weights: How many it has.
        flops: Of one image.
    """
    bands, value_range = reading
    return _commit(
        Path(folder),
        {
            **_use(label_map, image_size, resize, bands and list(bands), list(value_range)),
            "normalisation": {
                "input": "RGB, 0-255",
                "inside_model": f"to {source['pixel_range']}, then the file's own",
            },
            "architecture": {
                "name": "keras_file",
                "parameters": {},
                "weights": weights,
                "flops": flops,
            },
            "training": {},
            "source": dict(source),
            "dataset": None,
            **_scores(None, None),
        },
    )


def _use(
    label_map: LabelMap,
    image_size: tuple[int, int],
    resize: str,
    bands: Sequence[int] | None,
    value_range: Sequence[int],
) -> dict[str, Any]:
    """What a model's user needs to know: how to feed it, and what its logits stand for."""
    return {
        "label_map": label_map.to_dict(),
        "class_names": list(label_map.names),
        "image_size": list(image_size),
        "resize": resize,
        "bands": bands,
        "value_range": value_range,
    }


def _dataset(dataset: Dataset) -> dict[str, str]:
    return {"fingerprint": dataset.fingerprint, "path": str(dataset.folder)}


def _scores(
    scores: Mapping[str, Any] | None, calibration: Mapping[str, Any] | None
) -> dict[str, Any]:
    metrics = scores and {k: v for k, v in scores.items() if k != "confusion_matrix"}
    confusion = scores and scores["confusion_matrix"]
    return {"metrics": metrics, "confusion_matrix": confusion, "calibration": calibration}


def _commit(folder: Path, described: Mapping[str, Any]) -> Bundle:
    model = folder / MODEL_NAME
    record: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        **described,
        "model": {
            "file": MODEL_NAME,
            "bytes": model.stat().st_size,
            "sha256": hashing.sha256_file(model),
        },
        "versions": {
            "segflow": __version__,
            **{name: version(name) for name in ("keras", "tensorflow", "numpy")},
            "python": platform.python_version(),
        },
    }
    storage.put(
        folder / RECORD_NAME, storage.to_json({**record, "fingerprint": fingerprint_of(record)})
    )
    return Bundle.load(folder)
