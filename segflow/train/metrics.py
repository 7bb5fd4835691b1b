"""Scores during training, from an exact confusion matrix."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray


class ConfusionMatrix(keras.metrics.Metric):
    """Counts pixels by (true class, predicted class) in int64; scores as in `segflow.scores`.

    `result` is a dict of float32 scalars, `mean_iou` and `pixel_accuracy`, for progress and
    logs; `numpy` is the exact matrix. Under a distribution strategy each replica counts its own
    pixels and reading sums over them.

    Args:
        num_classes: Number of classes n.
        ignore_id: Pixels with this true id are dropped. Other ids that are no class do not come
            here: the input pipeline refuses them.
        name: Name of the metric.
    """

    def __init__(self, num_classes: int, ignore_id: int, name: str = "confusion") -> None:
        super().__init__(name=name)
        self.num_classes = num_classes
        self.ignore_id = ignore_id
        self.counts = self.add_variable(
            (num_classes, num_classes), initializer="zeros", dtype="int64", name="counts"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch: ids [b, h, w], logits [b, h, w, n].

        Args:
            y_true: True ids.
            y_pred: Logits; the largest is the prediction.
            sample_weight: [b] or None; images of weight 0 are dropped, all others count once.
        """
        classes = self.num_classes
        truth = ops.cast(y_true, "int32")
        prediction = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        kept = ops.not_equal(truth, self.ignore_id)
        if sample_weight is not None:
            used = ops.not_equal(sample_weight, 0)
            kept = ops.logical_and(kept, ops.reshape(used, (-1, 1, 1)))
        cell = ops.where(kept, truth * classes + prediction, classes**2)
        # `bincount` has a size that depends on the data, which XLA cannot compile; of the others
        # that have a fixed one, a segment sum takes 16 times as long on a CPU.
        counts = tf.raw_ops.DenseBincount(
            input=tf.reshape(cell, (-1,)),
            size=classes**2 + 1,
            weights=tf.constant([], tf.int64),
            binary_output=False,
        )
        self.counts.assign_add(ops.reshape(counts[: classes**2], (classes, classes)))

    def result(self) -> dict[str, Any]:
        """`mean_iou` over the classes present in truth or prediction, and `pixel_accuracy`."""
        counts = ops.cast(self.counts, "float32")
        hits = ops.diagonal(counts)
        union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - hits
        present = ops.cast(union > 0, "float32")
        iou = hits / ops.maximum(union, 1.0)
        return {
            "mean_iou": ops.sum(iou) / ops.maximum(ops.sum(present), 1.0),
            "pixel_accuracy": ops.sum(hits) / ops.maximum(ops.sum(counts), 1.0),
        }

    def numpy(self) -> NDArray[np.int64]:
        """The matrix so far, int64 [n, n]; rows are truth, columns prediction."""
        return np.asarray(ops.convert_to_numpy(self.counts), np.int64)
