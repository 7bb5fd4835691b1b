"""The boundary loss and the exact distances that it needs."""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from segflow.train.losses.base import SegmentationLoss, divide_or_zero


class Boundary(SegmentationLoss):
    """Boundary loss (Kervadec et al. 2019, https://arxiv.org/abs/1812.07032).

    Per image, the weighted mean over the classes present of the mean over valid pixels of
    p * distance, the distance being that of `signed_distances`. It is negative where the
    prediction is good, and says little as long as the regions do not meet: use it beside a
    region loss, with a small factor (the paper: from 0.01).
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        ids, valid = self._ids(y_true)
        truth = ops.one_hot(ids, self.num_classes, dtype="bool")
        truth = ops.logical_and(truth, ops.expand_dims(valid, -1))
        distance = ops.where(ops.expand_dims(valid, -1), _compiled_distances(truth), 0.0)
        predicted = ops.softmax(ops.cast(y_pred, "float32"))
        pixels = ops.sum(ops.cast(valid, "float32"), axis=(1, 2))
        loss = ops.sum(predicted * distance, axis=(1, 2))
        mean = divide_or_zero(loss, ops.expand_dims(pixels, -1))
        return self._mean_over_present(mean, ops.any(truth, axis=(1, 2)))


def signed_distances(truth: Any) -> Any:
    """Exact Euclidean distances to each class's region, negative inside.

    As the paper's authors compute them: outside, to the nearest pixel of the class; inside,
    1 less than to the nearest pixel of another class, so that a pixel at the border has 0.
    Ignored pixels are neither inside nor outside.

    Args:
        truth: Whether a pixel is of a class, bool [b, h, w, n]; nowhere true where ignored.

    Returns:
        Pixels, float32 [b, h, w, n]. 0 for classes that the image lacks, and inside one that
        nothing borders on.
    """
    squared = _squared_distances(truth)
    present = ops.any(truth, axis=(1, 2), keepdims=True)
    others = ops.where(ops.logical_and(present, ops.logical_not(truth)), squared, np.inf)
    nearest = ops.min(others, axis=-1, keepdims=True)
    inside = ops.where(ops.isfinite(nearest), 1.0 - ops.sqrt(nearest), 0.0)
    return ops.where(present, ops.where(truth, inside, ops.sqrt(squared)), 0.0)


# XLA makes one pass of each step of the loop, nine times as fast as op by op on a CPU; its
# results are the same, as these floats are whole numbers.
_compiled_distances = tf.function(signed_distances, jit_compile=True, autograph=False)


def _squared_distances(truth: Any) -> Any:
    """Squares of the distances to the nearest pixel of each class, float32 [b, h, w, n].

    Exact while height^2 + width^2 < 2^24. Along rows, distances go on by doubling steps; then
    each row offers every other one its own squares plus that of the rows between: of order
    height * height * width for each image and class. Classes that an image lacks get values
    above all distances.
    """
    height, width = truth.shape[1:3]
    columns = ops.square(_distances_along_rows(truth, width, float(height + width)))
    rows = ops.reshape(ops.arange(height, dtype="float32"), (1, height, 1, 1))

    def offer(row: Any, best: Any) -> Any:
        between = ops.square(rows - ops.cast(row, "float32"))
        return ops.minimum(best, ops.expand_dims(ops.take(columns, row, axis=1), 1) + between)

    return ops.fori_loop(0, height, offer, ops.full_like(columns, np.inf))


def _distances_along_rows(truth: Any, width: int, far: float) -> Any:
    """Distances within each row, float32 [b, h, w, n]; `far` in rows without the class."""
    distance = ops.where(truth, 0.0, far)
    step = 1
    while step < width:
        padded = ops.pad(distance, ((0, 0), (0, 0), (step, step), (0, 0)), constant_values=far)
        neighbours = ops.minimum(padded[:, :, : -2 * step], padded[:, :, 2 * step :])
        distance = ops.minimum(distance, neighbours + step)
        step *= 2
    return distance
