"""Bootstrap intervals over images, in one pass, in any order, and a bounded amount of memory."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import hashing
from segflow.scores.confusion import ratio

LEVEL = 0.95
RESAMPLES = 1000
FEW_IMAGES = 30
"""With fewer images percentile intervals are too narrow (Hesterberg 2015, What teachers should
know about the bootstrap, https://doi.org/10.1080/00031305.2015.1089789)."""
_WEIGHTS_AT_ONCE = 1 << 20


class Bootstrap:
    """Percentile intervals of scores, over as many resamples of the images with replacement.

    Pixels of one image are alike, so it is images that are drawn (Efron and Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 13). Each resample draws each image a Poisson(1) number
    of times, independently of all others, which for ratios of sums comes to the same as drawing
    as many as there are, but for terms of order 1 / images (Hanley and MacGibbon 2006, Creating
    non-parametric bootstrap samples using Poisson frequencies; Chamandy et al. 2012, Estimating
    uncertainty for massive data streams).

    How often is a hash of the image's key and the resample's number. So what comes out depends
    neither on the images' order, nor on how they are cut into batches, nor on a library's random
    numbers; as all sums are of integers, it is so to the last bit.

    Args:
        classes: Number of classes n.
        resamples: How often to draw; a multiple of 4.
    """

    def __init__(self, classes: int, resamples: int = RESAMPLES) -> None:
        self._images = 0
        self._resamples = resamples
        # Hits, true and predicted pixels by class; as floats, exact up to 2^53 pixels, for BLAS.
        self._sums = np.zeros((resamples, 3 * classes))

    def add(self, keys: Sequence[str], confusion: NDArray[np.int64]) -> None:
        """Adds k images: their keys, and their confusion matrices, int64 [k, n, n]."""
        self._images += len(keys)
        at_once = max(1, _WEIGHTS_AT_ONCE // self._resamples)
        for start in range(0, len(keys), at_once):
            some = confusion[start : start + at_once]
            counts = [np.diagonal(some, axis1=1, axis2=2), some.sum(2), some.sum(1)]
            weights = poisson_weights(keys[start : start + at_once], self._resamples)
            self._sums += weights.T @ np.concatenate(counts, axis=1).astype(np.float64)

    def intervals(self) -> dict[str, Any]:
        """`mean_iou` and `pixel_accuracy` as [low, high], `iou` as a list of such by class.

        None where fewer than two images, or no resample, give a score. A resample without a class
        leaves it out of its mean.
        """
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

    def _interval(self, values: NDArray[np.float64]) -> list[float] | None:
        defined = values[~np.isnan(values)]
        if self._images < 2 or not defined.size:
            return None
        ends = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return [float(end) for end in ends]


def poisson_weights(keys: Sequence[str], resamples: int) -> NDArray[np.float64]:
    """How often each resample draws each image, float64 [keys, resamples].

    Args:
        keys: Of the images.
        resamples: A multiple of 4.
    """
    seeds = np.array([hashing.stable_seed("bootstrap", key) for key in keys], np.uint64)
    # 16 bits decide a weight, so an integer of 64 serves four resamples.
    bits = splitmix64(seeds, resamples // 4).astype("<u8").view("<u2")
    return _POISSON[bits].astype(np.float64)


def splitmix64(seeds: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """The first numbers of the generator SplitMix64 for each seed.

    It hashes seed and place, so all can be made at once (Steele, Lea and Flood 2014, Fast
    splittable pseudorandom number generators, https://doi.org/10.1145/2660193.2660195, in the
    variant of Vigna's splitmix64.c).

    Args:
        seeds: [k].
        count: Numbers wanted of each.

    Returns:
        uint64 [k, count].
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = seeds[:, np.newaxis] + steps
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _poisson_table() -> NDArray[np.uint8]:
    """A Poisson(1) number for each value of 16 bits: its quantiles; 8 or more has 1 in 98,000."""
    shares = itertools.accumulate(math.exp(-1) / math.factorial(k) for k in range(9))
    middles = (np.arange(1 << 16) + 0.5) / (1 << 16)
    return np.searchsorted(list(shares), middles).astype(np.uint8)


_POISSON = _poisson_table()
