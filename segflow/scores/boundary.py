"""Boundary IoU (Cheng et al. 2021, https://arxiv.org/abs/2103.16562), exact in int64.

A pixel belongs to its class's boundary region if a pixel of another class, or the outside of the
image, lies within d pixels of it, rows and columns taken apart (a square of 2 d + 1, as the
authors' code erodes); d is 2 % of the image's diagonal. The score compares the boundary regions of
truth and prediction in place of the whole masks.

Ignored pixels are taken out of both: they are in no region, do not count, and where a class meets
them there is no outline, as nobody has said where it ends.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.scores.confusion import ratio

_DISTANCE = 0.02  # of the diagonal: the paper's choice for large images
_OUTSIDE = -1


def boundary_counts(
    truth: NDArray[Any], prediction: NDArray[Any], num_classes: int, ignore_id: int
) -> NDArray[np.int64]:
    """Counts the pixels that boundary IoU is made of; those of several images add up.

    Args:
        truth: Integer ids [height, width]; pixels equal to `ignore_id` are dropped.
        prediction: Class ids [height, width].
        num_classes: Number of classes n.
        ignore_id: The id that does not count.

    Returns:
        int64 [2, n]: by class, pixels in the boundary regions of truth and prediction both, and
        in either.
    """
    valid = truth != ignore_id
    distance = boundary_distance(truth.shape)
    in_truth = _boundary(truth, valid, distance)
    in_prediction = _boundary(prediction, valid, distance)
    in_both = in_truth & in_prediction & (truth == prediction)
    intersection, first, second = (
        np.bincount(ids.astype(np.int64), minlength=num_classes)
        for ids in (truth[in_both], truth[in_truth], prediction[in_prediction])
    )
    return np.stack([intersection, first + second - intersection]).astype(np.int64)


def boundary_iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Boundary IoU by class, float64 [n], of counts [2, n]; NaN for a class without a region."""
    return ratio(counts[0], counts[1])


def boundary_distance(size: tuple[int, ...]) -> int:
    """Width of a boundary region in an image of (height, width), in pixels; at least 1."""
    return max(1, round(_DISTANCE * math.hypot(*size)))


def _boundary(ids: NDArray[Any], valid: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Where the square around a valid pixel holds a second class or reaches out of the image."""
    kind = np.int16 if ids.dtype.itemsize == 1 else np.int32
    known, none = ids.astype(kind), np.iinfo(kind).max
    lowest = _around(np.where(valid, known, none), distance, np.minimum)
    highest = _around(np.where(valid, known, _OUTSIDE), distance, np.maximum)
    return valid & (lowest != highest)


def _around(ids: NDArray[Any], distance: int, extreme: np.ufunc) -> NDArray[Any]:
    """The least or largest id in the square around each pixel; -1 lies around the image.

    Spans double, so a square costs the logarithm of its side: ten times as fast as SciPy's
    filters, which would take longer than the model.
    """
    side = 2 * distance + 1
    for _ in range(2):  # along the columns, then along the rows
        spans = np.pad(ids, ((distance, distance), (0, 0)), constant_values=_OUTSIDE)
        span = 1
        while 2 * span <= side:
            spans = extreme(spans[:-span], spans[span:])
            span *= 2
        rest = side - span
        ids = (extreme(spans[:-rest], spans[rest:]) if rest else spans).T
    return ids
