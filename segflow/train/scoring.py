"""Scores a model on a split, and picks the examples it does best and worst."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from numpy.typing import NDArray

from segflow import scores
from segflow.dataset import Dataset
from segflow.train.input import stored_examples

_EXAMPLES_SHOWN = 8  # best, and as many worst


@dataclass(frozen=True, order=True)
class ScoredExample:
    """One example with its prediction; ordered by score, then by key.

    Attributes:
        mean_iou: Over the classes present in its truth or prediction.
        key: Its key in the dataset.
        image: float32 [h, w, 3] in 0-255.
        truth: int32 [h, w].
        prediction: int32 [h, w].
    """

    mean_iou: float
    key: str
    image: NDArray[np.float32] = field(compare=False, repr=False)
    truth: NDArray[np.int32] = field(compare=False, repr=False)
    prediction: NDArray[np.int32] = field(compare=False, repr=False)


@dataclass(frozen=True)
class SplitScores:
    """Scores of a whole split.

    Attributes:
        confusion: int64 [n, n]; rows are truth, columns prediction.
        best: The examples with the highest mIoU, best first.
        worst: Those with the lowest, worst first; none is also in `best`.
    """

    confusion: NDArray[np.int64]
    best: list[ScoredExample]
    worst: list[ScoredExample]


def score_split(
    model: keras.Model, dataset: Dataset, split_name: str, batch_size: int
) -> SplitScores:
    """Predicts every example of a split and counts its pixels.

    Examples without a valid pixel have no score and are neither best nor worst.
    """
    classes, ignore_id = dataset.label_map.num_classes, dataset.label_map.ignore_id
    total = np.zeros((classes, classes), np.int64)
    best: list[ScoredExample] = []
    worst: list[ScoredExample] = []
    for key, image, truth, prediction in _predictions(model, dataset, split_name, batch_size):
        confusion = scores.confusion_matrix(truth, prediction, classes, ignore_id)
        total += confusion
        if confusion.any():
            example = ScoredExample(scores.mean_iou(confusion), key, image, truth, prediction)
            best = heapq.nlargest(_EXAMPLES_SHOWN, [*best, example])
            worst = heapq.nsmallest(_EXAMPLES_SHOWN, [*worst, example])
    ranked = len({example.key for example in (*best, *worst)})
    best = best[: (ranked + 1) // 2]  # of few, half are the worst
    shown = {example.key for example in best}
    return SplitScores(total, best, [e for e in worst if e.key not in shown])


def write_examples(path: Path, found: SplitScores, id_type: type[np.generic]) -> None:
    """Writes `examples.parquet`: rank, key, mean_iou, image (JPEG), truth and prediction (PNG)."""
    ranked = [("best", e) for e in found.best] + [("worst", e) for e in found.worst]
    rows = [
        {
            "rank": rank,
            "key": example.key,
            "mean_iou": example.mean_iou,
            "image": tf.io.encode_jpeg(example.image.astype(np.uint8), quality=90).numpy(),
            "truth": _png(example.truth, id_type),
            "prediction": _png(example.prediction, id_type),
        }
        for rank, example in ranked
    ]
    names = {"rank": pa.string(), "key": pa.string(), "mean_iou": pa.float64()}
    pictures = {name: pa.binary() for name in ("image", "truth", "prediction")}
    schema = pa.schema({**names, **pictures})
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def _predictions(
    model: keras.Model, dataset: Dataset, split_name: str, batch_size: int
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]]:
    # One batch shape, the last one filled up, so that the graph is traced once.
    shape = (batch_size, *dataset.image_size, 3)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def predict(images: Any) -> Any:
        return tf.argmax(model(images, training=False), axis=-1, output_type=tf.int32)

    batches = stored_examples(dataset, split_name).batch(batch_size).prefetch(2)
    for images, masks, keys in batches.as_numpy_iterator():
        filling = [(0, batch_size - len(images)), (0, 0), (0, 0), (0, 0)]
        ids = predict(np.pad(images, filling)).numpy()[: len(images)]
        for key, image, truth, prediction in zip(keys, images, masks, ids, strict=True):
            yield key.decode(), image, truth, prediction


def _png(ids: NDArray[np.int32], id_type: type[np.generic]) -> bytes:
    png: bytes = tf.io.encode_png(ids.astype(id_type)[..., np.newaxis]).numpy()
    return png
