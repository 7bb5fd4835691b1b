"""Bootstrap intervals over images, in one pass and a bounded amount of memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.scores.confusion import ratio

LEVEL = 0.95
RESAMPLES = 1000
_SEED = 0
_DRAWS_AT_ONCE = 1 << 20


class Bootstrap:
    """Percentile intervals of scores, over as many resamples of the images with replacement.

    Pixels of one image are alike, so it is images that are drawn (Efron and Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 13). Images come one after the other: of the draws
    that are left, the next image gets a binomial share, which is the same as drawing from all.
    What comes out is a function of the images in their order, however they are cut into batches.

    Args:
        images: How many images will be added.
        classes: Number of classes n.
        resamples: How often to draw.
    """

    def __init__(self, images: int, classes: int, resamples: int = RESAMPLES) -> None:
        self._images = self._left = images
        self._random = np.random.default_rng(_SEED)
        self._draws = np.full(resamples, images, np.int64)
        # Hits, true and predicted pixels by class; as floats, exact up to 2^53 pixels, for BLAS.
        self._sums = np.zeros((resamples, 3 * classes))

    def add(self, confusion: NDArray[np.int64]) -> None:
        """Adds images by their confusion matrices, int64 [k, n, n].

        Raises:
            ValueError: These are more images than were announced.
        """
        if len(confusion) > self._left:
            raise ValueError(f"expected {self._images} images, found more")
        at_once = max(1, _DRAWS_AT_ONCE // len(self._draws))
        for start in range(0, len(confusion), at_once):
            some = confusion[start : start + at_once]
            counts = [np.diagonal(some, axis1=1, axis2=2), some.sum(2), some.sum(1)]
            weights = np.stack([self._draw() for _ in some], axis=1).astype(np.float64)
            self._sums += weights @ np.concatenate(counts, axis=1).astype(np.float64)

    def intervals(self) -> dict[str, Any]:
        """`mean_iou` and `pixel_accuracy` as [low, high], `iou` as a list of such by class.

        None where fewer than two images, or no resample, give a score. A resample without a class
        leaves it out of its mean.

        Raises:
            ValueError: Images are missing.
        """
        if self._left:
            raise ValueError(f"expected {self._images} images, {self._left} are missing")
        hits, truth, predicted = np.split(self._sums, 3, axis=1)
        iou = ratio(hits, truth + predicted - hits)
        present = ~np.isnan(iou)
        mean = ratio(np.where(present, iou, 0).sum(1), present.sum(1))
        accuracy = ratio(hits.sum(1), truth.sum(1))
        return {
            "mean_iou": self._interval(mean),
            "pixel_accuracy": self._interval(accuracy),
            "iou": [self._interval(column) for column in iou.T],
        }

    def _draw(self) -> NDArray[np.int64]:
        """How often each resample draws the next image, int64 [resamples]."""
        drawn = self._random.binomial(self._draws, 1 / self._left)
        self._draws -= drawn
        self._left -= 1
        return drawn

    def _interval(self, values: NDArray[np.float64]) -> list[float] | None:
        defined = values[~np.isnan(values)]
        if self._images < 2 or not defined.size:
            return None
        ends = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return [float(end) for end in ends]
