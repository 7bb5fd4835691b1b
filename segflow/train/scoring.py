"""Scores a model on a split, fits its temperature, and picks the examples to show."""

from collections.abc import Iterator, Sequence
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
from segflow.scores.boundary import boundary_counts
from segflow.scores.calibration import calibration
from segflow.scores.disagreement import NOTEWORTHY, confident_disagreement
from segflow.scores.tally import Tally
from segflow.train.input import stored_examples

_WORST, _MEDIAN, _BEST, _DOUBTFUL = 8, 4, 4, 8  # examples shown at most
_LOGITS_KEPT = 1 << 22  # numbers; the temperature is fitted on a sample where there are more


@dataclass(frozen=True)
class ShownExample:
    """One example with its prediction.

    Attributes:
        rank: `worst`, `median`, `best` or `doubtful`.
        key: Its key in the dataset.
        mean_iou: Over the classes present in its truth or prediction.
        confident_disagreement: Share of its valid pixels that look mislabelled.
        image: float32 [h, w, 3] in 0-255.
        truth: int32 [h, w].
        prediction: int32 [h, w].
        doubtful: bool [h, w], the pixels that look mislabelled.
    """

    rank: str
    key: str
    mean_iou: float
    confident_disagreement: float
    image: NDArray[np.float32] = field(repr=False)
    truth: NDArray[np.int32] = field(repr=False)
    prediction: NDArray[np.int32] = field(repr=False)
    doubtful: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True)
class SplitScores:
    """Scores of a whole split.

    Attributes:
        summary: What `Tally.summary` gives, but for groups, which training does not see.
        calibration: What `calibration` gives; None without a valid pixel.
        shown: The worst first, the best and the most doubtful first; an example may be
            doubtful and of another rank, too.
    """

    summary: dict[str, Any]
    calibration: dict[str, Any] | None
    shown: list[ShownExample]


def score_split(
    model: keras.Model, dataset: Dataset, split_name: str, batch_size: int
) -> SplitScores:
    """Predicts every example of a split and counts its pixels.

    Examples without a valid pixel have no score and are not shown.
    """
    label_map, examples = dataset.label_map, dataset.split(split_name).examples
    tally = Tally(label_map.num_classes)
    sample = _LogitSample(examples, dataset.image_size, label_map.num_classes)
    ranked: list[_Ranked] = []
    for one in _predictions(model, dataset, split_name, batch_size):
        pair = (one.truth, one.prediction, label_map.num_classes, label_map.ignore_id)
        confusion = scores.confusion_matrix(*pair)
        tally.add([one.key], confusion[np.newaxis], boundary_counts(*pair)[np.newaxis])
        sample.add(one, label_map.ignore_id)
        if confusion.any():
            share = one.doubtful(label_map.ignore_id).sum() / confusion.sum()
            ranked.append(_Ranked(scores.mean_iou(confusion), one.key, one.index, float(share)))
    chosen = _choose(sorted(ranked))
    pictures = _predictions(model, dataset, split_name, batch_size, {r.index for _, r in chosen})
    shown = _shown(chosen, {one.index: one for one in pictures}, label_map.ignore_id)
    summary = tally.summary(label_map.names)
    del summary["by_group"]
    return SplitScores(summary, sample.calibration(), shown)


def write_examples(path: Path, shown: Sequence[ShownExample], id_type: type[np.generic]) -> None:
    """Writes `examples.parquet`: a row for each example, image as JPEG, masks as PNG."""
    rows = [
        {
            "rank": one.rank,
            "key": one.key,
            "mean_iou": one.mean_iou,
            "confident_disagreement": one.confident_disagreement,
            "image": tf.io.encode_jpeg(one.image.astype(np.uint8), quality=90).numpy(),
            "truth": _png(one.truth, id_type),
            "prediction": _png(one.prediction, id_type),
            "doubtful": _png(one.doubtful, np.uint8),
        }
        for one in shown
    ]
    names = {"rank": pa.string(), "key": pa.string()}
    numbers = {name: pa.float64() for name in ("mean_iou", "confident_disagreement")}
    pictures = {name: pa.binary() for name in ("image", "truth", "prediction", "doubtful")}
    schema = pa.schema({**names, **numbers, **pictures})
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


@dataclass(frozen=True)
class _Predicted:
    """An example of the split, at `index` in it, and what the model says of it."""

    index: int
    key: str
    image: NDArray[np.float32]
    truth: NDArray[np.int32]
    prediction: NDArray[np.int32]
    confidence: NDArray[np.float32]
    logits: NDArray[np.float32]

    def doubtful(self, ignore_id: int) -> NDArray[np.bool_]:
        return confident_disagreement(self.truth, self.prediction, self.confidence, ignore_id)


@dataclass(frozen=True, order=True)
class _Ranked:
    mean_iou: float
    key: str
    index: int
    confident_disagreement: float


class _LogitSample:
    """Logits of as many valid pixels as are to be kept, drawn evenly from all examples."""

    def __init__(self, examples: int, size: tuple[int, int], classes: int) -> None:
        self._share = _LOGITS_KEPT / (examples * size[0] * size[1] * classes)
        self._logits = [np.zeros((0, classes), np.float32)]
        self._truth = [np.zeros(0, np.int32)]

    def add(self, one: _Predicted, ignore_id: int) -> None:
        kept = one.truth != ignore_id
        if self._share < 1:
            kept &= np.random.default_rng(one.index).random(kept.shape) < self._share
        self._logits.append(one.logits[kept])
        self._truth.append(one.truth[kept])

    def calibration(self) -> dict[str, Any] | None:
        return calibration(np.concatenate(self._logits), np.concatenate(self._truth))


def _choose(ranked: Sequence[_Ranked]) -> list[tuple[str, _Ranked]]:
    """The examples to show, each with its rank, of all in order of score.

    Of few, half are the worst; none is of two ranks by score.
    """
    worst = ranked[: min(_WORST, len(ranked) // 2)]
    best = ranked[max(len(worst), len(ranked) - _BEST) :][::-1]
    middle = max(0, (len(ranked) - _MEDIAN) // 2)
    ends = {*worst, *best}
    median = [one for one in ranked[middle : middle + _MEDIAN] if one not in ends]
    doubtful = sorted(ranked, key=lambda one: (-one.confident_disagreement, one.key))[:_DOUBTFUL]
    groups = (("worst", worst), ("median", median), ("best", best))
    return [
        *((rank, one) for rank, group in groups for one in group),
        *(("doubtful", one) for one in doubtful if one.confident_disagreement >= NOTEWORTHY),
    ]


def _shown(
    chosen: Sequence[tuple[str, _Ranked]], pictures: dict[int, _Predicted], ignore_id: int
) -> list[ShownExample]:
    return [
        ShownExample(
            rank,
            one.key,
            one.mean_iou,
            one.confident_disagreement,
            pictures[one.index].image,
            pictures[one.index].truth,
            pictures[one.index].prediction,
            pictures[one.index].doubtful(ignore_id),
        )
        for rank, one in chosen
    ]


def _predictions(
    model: keras.Model,
    dataset: Dataset,
    split_name: str,
    batch_size: int,
    wanted: set[int] | None = None,
) -> Iterator[_Predicted]:
    """All examples in stored order, or those at the places `wanted`."""
    # One batch shape, the last one filled up, so that the graph is traced once.
    shape = (batch_size, *dataset.image_size, 3)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def predict(images: Any) -> Any:
        logits = tf.cast(model(images, training=False), tf.float32)
        best = tf.argmax(logits, axis=-1, output_type=tf.int32)
        # max softmax = exp(max - logsumexp), without a second array of probabilities
        top = tf.reduce_max(logits, axis=-1) - tf.reduce_logsumexp(logits, axis=-1)
        return best, tf.exp(top), logits

    examples = stored_examples(dataset, split_name).enumerate()
    if wanted is not None:
        places = tf.constant(sorted(wanted), tf.int64)
        examples = examples.filter(lambda index, _: tf.reduce_any(places == index))
    for indices, (images, masks, keys) in (
        examples.batch(batch_size).prefetch(2).as_numpy_iterator()
    ):
        filling = [(0, batch_size - len(images)), (0, 0), (0, 0), (0, 0)]
        found = (tensor.numpy()[: len(images)] for tensor in predict(np.pad(images, filling)))
        columns = (indices.tolist(), [key.decode() for key in keys], images, masks, *found)
        for values in zip(*columns, strict=True):
            yield _Predicted(*values)


def _png(ids: NDArray[Any], id_type: type[np.generic]) -> bytes:
    png: bytes = tf.io.encode_png(ids.astype(id_type)[..., np.newaxis]).numpy()
    return png
