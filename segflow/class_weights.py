"""How much each class should count in a loss, from the pixels of a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def inverse_frequency(pixels: Sequence[int]) -> list[float]:
    """All pixels / (number of classes present * pixels of the class).

    So the mean weight of a pixel is 1, and each class present has an equal share of the loss.

    Args:
        pixels: Valid pixels of each class.

    Returns:
        A weight for each class, 0 for one without pixels.
    """
    counts = np.asarray(pixels, np.int64)
    present = max(1, np.count_nonzero(counts))
    return _divide(np.full(len(counts), counts.sum() / present), counts)


def median_frequency(pixels: Sequence[int], around: Sequence[int]) -> list[float]:
    """median(f) / f, f being the pixels of the class over `around`.

    So a class is not punished for being in few images (Eigen and Fergus 2015,
    https://arxiv.org/abs/1411.4734).

    Args:
        pixels: Valid pixels of each class.
        around: Valid pixels of all classes in those images in which the class occurs.

    Returns:
        A weight for each class, 0 for one without pixels; the median is over the others.
    """
    counts, total = np.asarray(pixels, np.int64), np.asarray(around, np.int64)
    present = counts > 0
    if not present.any():
        return [0.0] * len(counts)
    return _divide(np.median(counts[present] / total[present]) * total, counts)


def _divide(whole: NDArray[Any], part: NDArray[np.int64]) -> list[float]:
    quotients: NDArray[np.float64] = np.divide(whole, part, out=np.zeros(len(part)), where=part > 0)
    return quotients.tolist()
