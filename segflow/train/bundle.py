"""The model bundle: the contract between training and whoever uses the model.

Reading one loads nothing heavy; `Bundle.load_model` loads Keras.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from segflow import __version__, hashing, storage
from segflow.dataset import Dataset, check_file
from segflow.errors import UsageError
from segflow.label_map import LabelMap

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 1
RECORD_NAME = "bundle.json"
MODEL_NAME = "model.keras"
Tta = Literal["none", "flip", "flip_scale"]
"""Test-time augmentation: over which views of a picture the model's probabilities are averaged."""

_ALL_VALUES = [0, 65535]


@dataclass(frozen=True)
class Bundle:
    """A bundle folder whose `bundle.json` and model file have been checked.

    Attributes:
        folder: Where it lies.
        label_map: What the logits stand for, in order of id.
        image_size: (height, width) in pixels that the model takes.
        resize: The policy that brings an image to that size, as in the dataset.
        bands: Numbers of the bands that become red, green and blue, or grey; None: as a viewer
            would show the file.
        value_range: 16-bit values that become 0 and 255.
        fingerprint: SHA-256 over the model file and how it is used.
        record: The whole of `bundle.json`.
    """

    folder: Path
    label_map: LabelMap
    image_size: tuple[int, int]
    resize: str
    bands: tuple[int, ...] | None
    value_range: tuple[int, int]
    fingerprint: str
    record: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> "Bundle":
        """Reads `bundle.json` and compares the model file with it.

        Raises:
            UsageError: The folder holds no bundle, its record is not sound, or the model file is
                missing or not the recorded one.
        """
        folder = Path(folder)
        path = folder / RECORD_NAME
        if not path.is_file():
            state = "holds no bundle.json" if folder.is_dir() else "does not exist"
            raise UsageError(f"model {folder}: {state}; make one with 'segflow train'")
        try:
            bundle = cls._from_record(folder, storage.read_json(path))
            model = bundle.record["model"]
            size, sha256 = int(model["bytes"]), str(model["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"model {path}: not a bundle record: {error!r}") from error
        check_file(bundle.model_path, size, sha256)
        if bundle.fingerprint != _fingerprint(bundle.record):
            raise UsageError(
                f"model {path}: its fingerprint does not fit, so it was edited by hand; restore it "
                "or train again"
            )
        return bundle

    @classmethod
    def _from_record(cls, folder: Path, record: Mapping[str, Any]) -> "Bundle":
        if record["format_version"] != FORMAT_VERSION:
            raise UsageError(
                f"model {folder}: format version {record['format_version']}, this segflow reads "
                f"{FORMAT_VERSION}; train again or use another version"
            )
        height, width = record["image_size"]
        low, high = record.get("value_range", _ALL_VALUES)
        return cls(
            folder=folder,
            label_map=LabelMap.from_dict(record["label_map"], str(folder / RECORD_NAME)),
            image_size=(int(height), int(width)),
            resize=record["resize"],
            bands=tuple(record["bands"]) if record.get("bands") else None,
            value_range=(low, high),
            fingerprint=record["fingerprint"],
            record=record,
        )

    @property
    def model_path(self) -> Path:
        """The Keras file."""
        return self.folder / MODEL_NAME

    @property
    def is_ensemble(self) -> bool:
        """Whether the model averages those of other bundles."""
        return bool(self.record.get("members"))

    @property
    def temperature(self) -> float:
        """What the logits are divided by to be calibrated; 1 where none was fitted.

        `load_model` does not divide by it: probabilities are the model's own but in an ensemble.
        """
        return float((self.record.get("calibration") or {}).get("temperature", 1))

    def load_model(self, tta: Tta = "none") -> "keras.Model":
        """The uncompiled model: pixels 0-255 [batch, h, w, 3] to float32 logits [batch, h, w, n].

        Only layers of Keras itself are loaded: `safe_mode` refuses code in the file.

        Args:
            tta: `flip` averages over the picture and its mirror image, `flip_scale` also over
                both at 0.75 and 1.25 times their size.

        Raises:
            ValueError: `tta` is neither of these nor `none`.
        """
        if tta not in get_args(Tta):
            raise ValueError(f"tta must be {', '.join(get_args(Tta))}, received {tta!r}")
        import keras

        model = keras.models.load_model(self.model_path, compile=False, safe_mode=True)
        if tta == "none":
            return model
        from segflow.models.test_time import average_over_views

        return average_over_views(model, scales=tta == "flip_scale")


def write_record(
    folder: str | Path,
    dataset: Dataset,
    *,
    architecture: Mapping[str, Any],
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
) -> Bundle:
    """Commits a bundle whose other files are in place: writes `bundle.json`.

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
                dataset.record.get("value_range", _ALL_VALUES),
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
    """Commits the bundle of an ensemble, as `write_record` does that of a training.

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
        folder / RECORD_NAME, storage.to_json({**record, "fingerprint": _fingerprint(record)})
    )
    return Bundle.load(folder)


def _fingerprint(record: Mapping[str, Any]) -> str:
    """Whatever decides a label: the model, what its logits mean, and how it is fed."""
    return hashing.fingerprint(
        {
            "model": record["model"]["sha256"],
            **{name: record[name] for name in ("label_map", "image_size", "resize")},
            # Left out where they are the default: older bundles do not have them.
            **({"bands": record["bands"]} if record.get("bands") else {}),
            **(
                {"value_range": record["value_range"]}
                if record.get("value_range", _ALL_VALUES) != _ALL_VALUES
                else {}
            ),
        }
    )
