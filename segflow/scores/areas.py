"""Class areas of a map, adjusted for the errors of the model that drew it.

A map's own areas are biased: what a model confuses it counts for the wrong class. An evaluation
says how often that happens, and so how much of what is mapped as a class is really which.

With W_i the share of the map that has class i, and r_ij the share of the reference pixels mapped
as i that are truly j, the adjusted share of class j is the sum of W_i r_ij (Olofsson et al. 2014,
Good practices for estimating area and assessing accuracy of land change, equation 9,
https://doi.org/10.1016/j.rse.2014.02.015). It takes for granted that the reference images are a
random sample of what is mapped, or at least that what is mapped as a class is confused there as
often as here.

Its variance depends on what was sampled. Pixels of one image are wrong together, so
`adjusted_areas` takes images as the units. `adjusted_areas_of_pixels` is for reference pixels
drawn one by one, as that paper has them; on images its intervals are far too narrow.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from segflow.scores.confusion import ratio

LEVEL = 0.95


@dataclass(frozen=True)
class AdjustedAreas:
    """Areas in pixels, float64 [n], by class id.

    Attributes:
        mapped: As counted.
        adjusted: For the model's errors; adds up to what is mapped.
        standard_error: Of `adjusted`; NaN where it cannot be told.
        low: Lower end of the 95 % interval, 0 or more.
        high: Upper end, no more than all pixels.
    """

    mapped: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def adjusted_areas(
    mapped: NDArray[np.int64], confusion: NDArray[np.int64], images: int
) -> AdjustedAreas:
    """Areas adjusted by the confusion matrices of reference images, with images as units.

    The estimator is a ratio of sums over images; its variance is that of its linearisation, as of
    any such ratio in a sample of clusters (Cochran 1977, Sampling Techniques, section 6.4; Särndal,
    Swensson and Wretman 1992, section 5.5). The mapped images are themselves a sample of what the
    reference images stand for, and their errors depart from the expected; that adds the same
    variance over their number. Intervals are of Student's t with one degree of freedom less than
    reference images.

    Args:
        mapped: Pixels mapped as each class, int64 [n].
        confusion: Of each of k reference images, int64 [k, n, n]; rows are truth, columns
            prediction, as everywhere here.
        images: How many images are mapped.

    Raises:
        ValueError: Shapes do not fit, or a class that is mapped is never predicted in the reference
            images, so that nothing is known of it.
    """
    known = _known(mapped, confusion.sum(0))
    weights = _shares(mapped)
    predicted = confusion.sum(1).astype(np.float64)  # [k, n]: pixels of image k mapped as i
    mean = predicted.mean(0)
    shares = _shares_of_truth(confusion.sum(0))  # [n (mapped), n (true)]
    scale = np.divide(weights, mean, out=np.zeros_like(weights), where=known)
    # Of image k and class j: sum over i of W_i / mean_i * (c_kij - r_ij c_ki).
    residuals = np.einsum("i,kji->kj", scale, confusion) - (predicted * scale) @ shares
    count = len(confusion)
    if count < 2:
        error = np.full(len(mapped), math.nan)
    else:
        # Not `np.var`: that the residuals' mean is zero holds by construction.
        variance = (residuals**2).sum(0) / (count - 1)
        error = np.sqrt(variance * (1 / count + 1 / max(1, images)))
    quantile = special.stdtrit(count - 1, (1 + LEVEL) / 2)  # NaN for none to spare
    return _areas(mapped, weights @ shares, error, quantile)


def adjusted_areas_of_pixels(
    mapped: NDArray[np.int64], confusion: NDArray[np.int64]
) -> AdjustedAreas:
    """Areas adjusted by reference pixels that were drawn at random within each mapped class.

    Olofsson et al. 2014, equations 9 to 11, with 1.96 standard errors to either side.

    Args:
        mapped: Pixels mapped as each class, int64 [n].
        confusion: Counts of reference pixels, int64 [n, n]; rows are truth, columns prediction.

    Raises:
        ValueError: As of `adjusted_areas`.
    """
    _known(mapped, confusion)
    weights, shares = _shares(mapped), _shares_of_truth(confusion)
    drawn = confusion.sum(0)  # by mapped class
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = shares * (1 - shares) / (drawn - 1)[:, np.newaxis]
    variance = (weights**2) @ np.where(weights[:, np.newaxis] > 0, parts, 0.0)
    return _areas(mapped, weights @ shares, np.sqrt(variance), 1.96)  # as the paper has it


def _known(mapped: NDArray[np.int64], confusion: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which classes were predicted in the reference images."""
    if confusion.shape != (len(mapped), len(mapped)):
        raise ValueError(
            f"{len(mapped)} areas for a matrix of {' x '.join(map(str, confusion.shape))}"
        )
    known: NDArray[np.bool_] = confusion.sum(0) > 0
    if unknown := np.flatnonzero((mapped > 0) & ~known).tolist():
        raise ValueError(f"classes {unknown} are mapped, but never predicted in the reference")
    return known


def _shares(mapped: NDArray[np.int64]) -> NDArray[np.float64]:
    return mapped / max(1, int(mapped.sum()))


def _shares_of_truth(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of what is mapped as i, the share that is truly j: float64 [n (mapped), n (true)]."""
    return np.nan_to_num(ratio(confusion, confusion.sum(0)).T)


def _areas(
    mapped: NDArray[np.int64],
    shares: NDArray[np.float64],
    error: NDArray[np.float64],
    quantile: float,
) -> AdjustedAreas:
    whole = float(mapped.sum())
    low, high = shares - quantile * error, shares + quantile * error
    return AdjustedAreas(
        mapped.astype(np.float64),
        whole * shares,
        whole * error,
        whole * np.clip(low, 0, 1),
        whole * np.clip(high, 0, 1),
    )
