"""The model bundle: the contract between training and whoever uses the model.

Reading one loads nothing heavy; `Bundle.load_model` loads Keras.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from segflow import hashing, storage
from segflow.dataset import ResizePolicy, check_file
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from segflow.models.model_file import require_safe_model

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 1
RECORD_NAME = "bundle.json"
MODEL_NAME = "model.keras"
Tta = Literal["none", "flip", "flip_scale"]
"""Test-time augmentation: over which views of a picture the model's probabilities are averaged."""

_LONGEST_SIDE = 99_999  # as --image-size

ALL_VALUES = [0, 65535]
"""The range of values of a bundle that was told none."""


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
    resize: ResizePolicy
    bands: tuple[int, ...] | None
    value_range: tuple[int, int]
    fingerprint: str
    record: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> "Bundle":
        """Reads `bundle.json`, compares the model file with it, and checks that it can be loaded.

        Raises:
            UsageError: The folder holds no bundle, its record is not sound, or the model file is
                missing, not the recorded one, or not of Keras's own layers alone.
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
            if model["file"] != MODEL_NAME:
                raise UsageError(
                    f"model {path}: it names {model['file']!r} as the model file, expected "
                    f"{MODEL_NAME} beside it; restore the record or make it anew"
                )
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"model {path}: not a bundle record: {error!r}") from error
        check_file(bundle.model_path, size, sha256)
        if bundle.fingerprint != fingerprint_of(bundle.record):
            raise UsageError(
                f"model {path}: its fingerprint does not fit, so it was edited by hand; restore it "
                "or train again"
            )
        require_safe_model(bundle.model_path)
        return bundle

    @classmethod
    def _from_record(cls, folder: Path, record: Mapping[str, Any]) -> "Bundle":
        if record["format_version"] != FORMAT_VERSION:
            raise UsageError(
                f"model {folder}: format version {record['format_version']}, this segflow reads "
                f"{FORMAT_VERSION}; train again or use another version"
            )
        height, width = record["image_size"]
        if not all(type(side) is int and 1 <= side <= _LONGEST_SIDE for side in (height, width)):
            raise UsageError(
                f"model {folder}: image_size {record['image_size']}, expected two whole numbers of "
                f"1 to {_LONGEST_SIDE}; make the bundle anew"
            )
        if record["resize"] not in get_args(ResizePolicy):
            raise UsageError(
                f"model {folder}: resize {record['resize']!r}, expected one of "
                f"{', '.join(get_args(ResizePolicy))}; make the bundle anew"
            )
        low, high = record.get("value_range", ALL_VALUES)
        return cls(
            folder=folder,
            label_map=LabelMap.from_dict(record["label_map"], str(folder / RECORD_NAME)),
            image_size=(height, width),
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
    def is_adopted(self) -> bool:
        """Whether the model is somebody's Keras file, which was not trained here."""
        return bool(self.record.get("source"))

    @property
    def temperature(self) -> float:
        """What the logits are divided by to be calibrated; 1 where none was fitted.

        `load_model` does not divide by it: probabilities are the model's own but in an ensemble.
        """
        return float((self.record.get("calibration") or {}).get("temperature", 1))

    def load_model(self, tta: Tta = "none") -> "keras.Model":
        """The uncompiled model: pixels 0-255 [batch, h, w, 3] to float32 logits [batch, h, w, n].

        Only layers of Keras itself are loaded, as `load` has checked.

        Args:
            tta: `flip` averages over the picture and its mirror image, `flip_scale` also over
                both at 0.75 and 1.25 times their size.

        Raises:
            ValueError: `tta` is neither of these nor `none`.
            UsageError: Keras cannot load the model, it does not take and give what the record
                says, or one picture would fill the memory.
        """
        require_tta(tta)
        from segflow.models.loading import load_plain, require_segmentation

        model = load_plain(self.model_path)
        classes = self.label_map.num_classes
        require_segmentation(self.model_path, model, self.image_size, classes)
        if tta == "none":
            return model
        from segflow.models.test_time import average_over_views

        return average_over_views(model, scales=tta == "flip_scale")


def require_tta(tta: str) -> None:
    """Raises `ValueError` unless it is one of `Tta`."""
    if tta not in get_args(Tta):
        raise ValueError(f"tta must be {', '.join(get_args(Tta))}, received {tta!r}")


def fingerprint_of(record: Mapping[str, Any]) -> str:
    """Whatever decides a label: the model, what its logits mean, and how it is fed."""
    return hashing.fingerprint(
        {
            "model": record["model"]["sha256"],
            **{name: record[name] for name in ("label_map", "image_size", "resize")},
            # Left out where they are the default: older bundles do not have them.
            **({"bands": record["bands"]} if record.get("bands") else {}),
            **(
                {"value_range": record["value_range"]}
                if record.get("value_range", ALL_VALUES) != ALL_VALUES
                else {}
            ),
        }
    )
