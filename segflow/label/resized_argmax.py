"""Logits brought to a picture's size and reduced to class ids, a band of rows at a time."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike, NDArray

_BAND_BYTES = 1 << 24  # of resized logits at once; about what a core's caches still help with


def resized_argmax(
    logits: NDArray[np.float32], size: tuple[int, int], dtype: DTypeLike
) -> NDArray[Any]:
    """The most likely class of each pixel, from logits resized bilinearly.

    The same as `tf.image.resize` (half-pixel centres, no antialiasing) and an argmax, but the
    resized logits of a large picture are never in memory together, and none are on a GPU, which may
    have no memory left beside the model.

    Args:
        logits: float32 [h, w, classes].
        size: (height, width) of the picture, in pixels.
        dtype: Of the ids.

    Returns:
        Class ids [height, width].
    """
    height, width = size
    band = max(1, _BAND_BYTES // (4 * width * logits.shape[-1]))
    lower, upper, share = _source_rows(logits.shape[0], height)
    ids = np.empty(size, dtype)
    with tf.device("CPU:0"):
        source = tf.constant(logits)
        for first in range(0, height, band):
            rows = slice(first, first + band)
            ids[rows] = _band_ids(source, lower[rows], upper[rows], share[rows], width)
    return ids


def _source_rows(
    source: int, target: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """For each target row the two source rows it lies between, and the share of the second."""
    position = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    lower = np.floor(position).astype(np.int32)
    upper = np.minimum(lower + 1, source - 1)
    return lower, upper, (position - lower).astype(np.float32)


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None, None], tf.float32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([], tf.int32),
    ]
)
def _band_ids(
    logits: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor, share: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    above, below = tf.gather(logits, lower), tf.gather(logits, upper)
    band = above + (below - above) * share[:, None, None]
    wide = tf.image.resize(band[None], (tf.size(lower), width), "bilinear")[0]
    return tf.argmax(wide, axis=-1, output_type=tf.int32)
