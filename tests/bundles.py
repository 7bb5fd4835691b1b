"""Model bundles that need no training."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from segflow import scores
from segflow.dataset import Dataset
from segflow.label_map import LabelMap
from segflow.train.bundle import MODEL_NAME
from segflow.train.bundle_record import write_record

if TYPE_CHECKING:
    import keras


def write_bundle(
    folder: Path,
    label_map: LabelMap,
    image_size: tuple[int, int] = (16, 24),
    resize: str = "stretch",
    model: "keras.Model | EmptyModel | None" = None,
    reading: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a bundle.

    Args:
        folder: Made if it is missing.
        label_map: What the logits stand for; classes without a colour get a hue of their own.
        image_size: (height, width) that the model takes.
        resize: The policy that brings an image to that size.
        model: Default: each pixel gets the class whose colour is nearest.
        reading: `bands` and `value_range`, as in `dataset.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = model or _nearest_colour(label_map, image_size)
    model.save(folder / MODEL_NAME)
    dataset = Dataset(
        folder=Path("drawn"),
        fingerprint="0" * 64,
        label_map=label_map,
        image_size=image_size,
        resize=resize,
        seed=0,
        splits={},
        record=reading or {},
    )
    perfect = np.eye(label_map.num_classes, dtype=np.int64)
    write_record(
        folder,
        dataset,
        architecture={"name": model.name, "parameters": {}},
        training={"seed": 0, "epochs_run": 0, "best_epoch": 0, "seconds": 0.0},
        scores={**scores.summarize(perfect, label_map.names), "split": "val", "examples": 1},
    )
    return folder


class EmptyModel:
    """In place of a Keras model where none is opened: saves a sound file of no layer.

    Args:
        date: What tells its file from another one.
    """

    name = "empty"

    def __init__(self, date: str = "today") -> None:
        self._date = date

    def save(self, path: Path) -> None:
        """As `keras.Model.save`."""
        weights = io.BytesIO()
        h5py.File(weights, "w").close()
        config = {"module": "keras", "class_name": "Sequential", "config": {"layers": []}}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", json.dumps({"date_saved": self._date}))
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", weights.getvalue())


def _nearest_colour(label_map: LabelMap, image_size: tuple[int, int]) -> "keras.Model":
    """|x - c|² is least where 2 x·c - |c|² is largest: a convolution of one pixel."""
    import keras

    colors = label_map.palette() / 127.5 - 1
    pixels = keras.Input((*image_size, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    convolution = keras.layers.Conv2D(label_map.num_classes, 1, name="logits")
    model = keras.Model(pixels, convolution(scaled), name="nearest_colour")
    convolution.set_weights([2 * colors.T[None, None], -(colors**2).sum(1)])
    return model
