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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from segflow.scores.confusion import ratio

LEVEL = 0.95
_UNKNOWN = 0.01  # share of the map above which what was never predicted leaves all unknown
_LEAST = 2  # reference images, or nothing is known of how they differ

Batches = Callable[[], Iterable[NDArray[np.int64]]]
"""Gives the reference images' confusion matrices, some at a time, as often as it is called."""


class NeverPredictedError(ValueError):
    """Too much is mapped as classes that are never predicted in the reference.

    Attributes:
        classes: Their ids.
        share: Of the map.
    """

    def __init__(self, classes: Sequence[int], share: float) -> None:
        super().__init__(
            f"classes {list(classes)} are mapped ({share:.2%}), but never predicted in the "
            "reference"
        )
        self.classes = classes
        self.share = share


@dataclass(frozen=True)
class AdjustedAreas:
    """Areas in the unit of the mapped ones, float64 [n], by class id.

    Attributes:
        mapped: As counted.
        adjusted: For the model's errors; adds up to what is mapped.
        standard_error: Of `adjusted`; NaN where it cannot be told.
        low: Lower end of the 95 % interval, 0 or more; NaN likewise.
        high: Upper end, no more than the whole; NaN likewise.
        reference: Share of the reference pixels that the model gives each class.
        predicting: Reference images in which the model predicts a class, int64 [n].
        showing: Reference images that truly show a class, int64 [n].
    """

    mapped: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    reference: NDArray[np.float64]
    predicting: NDArray[np.int64]
    showing: NDArray[np.int64]


def effective_number(total: float, squares: float) -> float:
    """How many units of one size vary in all as much as those of unequal sizes do (Kish 1965).

    Args:
        total: The sum of their sizes.
        squares: The sum of the squares of their sizes.

    Returns:
        The number itself if all are of one size, 1 if one is all there is, 0 if there is nothing.
    """
    return total**2 / squares if squares else 0.0


def adjusted_areas(mapped: NDArray[Any], batches: Batches, images: float) -> AdjustedAreas:
    """Areas adjusted by the confusion matrices of reference images, with images as units.

    The estimator is a ratio of sums over images; its variance is that of its linearisation, as of
    any such ratio in a sample of clusters (Cochran 1977, Sampling Techniques, section 6.4; Särndal,
    Swensson and Wretman 1992, section 5.5). The mapped images are themselves a sample of what the
    reference images stand for, and their errors depart from the expected. An image's share of wrong
    pixels is taken to vary alike whatever its size, so that adds the same variance times the
    effective number of reference images over that of mapped ones; of images of one size, the same
    over their number. Intervals are of Student's t with one degree of freedom less than reference
    images.

    Of what is mapped as a class that fewer than two reference images predict, nothing is known
    beyond its extent W_i, and the residuals cannot say so. It counts as that one image has it, or
    as mapped, and every interval is widened by all that it could be instead: where it counts for a
    class with the share a, that class may have less by W_i a, and more by W_i (1 - a). A class has
    no interval itself if it is such a one, or if fewer than two reference images truly show it.

    Args:
        mapped: What is mapped as each class, in pixels or any unit of area, [n].
        batches: Confusion matrices of the reference images, int64 [k, n, n] in pixels, rows truth,
            columns prediction; called twice: for the sums, and for the departures from them.
        images: How many images are mapped; of unequal sizes, their `effective_number`.

    Raises:
        ValueError: Shapes do not fit.
        NeverPredictedError: More than a hundredth of the map has classes that are never predicted
            in the reference images.
    """
    sums = _Sums.of(batches, len(mapped))
    total, count = sums.cells, sums.images
    _require_known(mapped, total, _UNKNOWN)
    weights, shares = _shares(mapped), _shares_of_truth(total)  # shares: [n (mapped), n (true)]
    predicted = total.sum(0)
    scale = np.divide(weights * count, predicted, out=np.zeros_like(weights), where=predicted > 0)
    squares = np.zeros(len(mapped))
    for confusion in batches():
        # Of image k and class j: sum over i of W_i / mean_i * (c_kij - r_ij c_ki).
        mapped_as = confusion.sum(1) * scale  # [k, n]: of the pixels of image k mapped as i
        residuals = np.einsum("i,kji->kj", scale, confusion) - mapped_as @ shares
        squares += (residuals**2).sum(0)
    reference = effective_number(float(total.sum()), sums.squares)
    # Not `np.var`: that the residuals' mean is zero holds by construction.
    error = np.sqrt(squares / max(1, count - 1) / count * (1 + reference / max(1, images)))
    loose = (weights > 0) & (sums.predicting < _LEAST)
    error[loose | (sums.showing < _LEAST)] = math.nan
    margin = special.stdtrit(max(1, count - 1), (1 + LEVEL) / 2) * error
    less = np.where(loose, weights, 0) @ shares
    ends = (margin + less, margin + weights[loose].sum() - less)
    counts = (_shares(predicted), sums.predicting, sums.showing)
    return _areas(mapped, weights @ shares, error, ends, counts)


def adjusted_areas_of_pixels(
    mapped: NDArray[np.int64], confusion: NDArray[np.int64]
) -> AdjustedAreas:
    """Areas adjusted by reference pixels that were drawn at random within each mapped class.

    Olofsson et al. 2014, equations 9 to 11, with 1.96 standard errors to either side.

    Args:
        mapped: Pixels mapped as each class, int64 [n].
        confusion: Counts of reference pixels, int64 [n, n]; rows are truth, columns prediction.

    Raises:
        ValueError: Shapes do not fit.
        NeverPredictedError: As of `adjusted_areas`.
    """
    _require_known(mapped, confusion, 0)
    weights, shares = _shares(mapped), _shares_of_truth(confusion)
    drawn = confusion.sum(0)  # by mapped class
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = shares * (1 - shares) / (drawn - 1)[:, np.newaxis]
    variance = (weights**2) @ np.where(weights[:, np.newaxis] > 0, parts, 0.0)
    error = np.sqrt(variance)
    margin = 1.96 * error  # as the paper has it
    counts = (_shares(drawn), drawn, confusion.sum(1))
    return _areas(mapped, weights @ shares, error, (margin, margin), counts)


@dataclass(frozen=True)
class _Sums:
    """Over the reference images.

    Attributes:
        cells: The sum of their matrices, int64 [n, n].
        images: How many there are.
        squares: The sum of the squares of their pixels.
        predicting: Images by predicted class, int64 [n].
        showing: Images by true class, int64 [n].
    """

    cells: NDArray[np.int64]
    images: int
    squares: float
    predicting: NDArray[np.int64]
    showing: NDArray[np.int64]

    @classmethod
    def of(cls, batches: Batches, classes: int) -> "_Sums":
        cells, images, squares = np.zeros((classes, classes), np.int64), 0, 0.0
        predicting, showing = np.zeros((2, classes), np.int64)
        for confusion in batches():
            if confusion.shape[1:] != cells.shape:
                raise ValueError(f"{classes} areas for matrices of {_text(confusion.shape[1:])}")
            cells += confusion.sum(0)
            images += len(confusion)
            predicting += (confusion.sum(1) > 0).sum(0)
            showing += (confusion.sum(2) > 0).sum(0)
            squares += float((confusion.sum((1, 2)).astype(np.float64) ** 2).sum())
        return cls(cells, images, squares, predicting, showing)


def _require_known(mapped: NDArray[Any], confusion: NDArray[np.int64], limit: float) -> None:
    """Refuses a map of which more than `limit` has classes that were never predicted."""
    if confusion.shape != (len(mapped), len(mapped)):
        raise ValueError(f"{len(mapped)} areas for a matrix of {_text(confusion.shape)}")
    unknown = (mapped > 0) & (confusion.sum(0) == 0)
    share = float(_shares(mapped)[unknown].sum())
    if share > limit:
        raise NeverPredictedError(np.flatnonzero(unknown).tolist(), share)


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _shares(parts: NDArray[Any]) -> NDArray[np.float64]:
    """Of the whole; zeros where there is nothing."""
    return np.nan_to_num(ratio(parts, parts.sum()))


def _shares_of_truth(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of what is mapped as i, the share that is truly j: float64 [n (mapped), n (true)].

    What was never predicted is taken as mapped.
    """
    shares = np.nan_to_num(ratio(confusion, confusion.sum(0)).T)
    never = confusion.sum(0) == 0
    shares[never, never] = 1
    return shares


def _areas(
    mapped: NDArray[Any],
    shares: NDArray[np.float64],
    error: NDArray[np.float64],
    margins: tuple[NDArray[np.float64], NDArray[np.float64]],
    reference: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
) -> AdjustedAreas:
    """All in the unit of `mapped`.

    Args:
        mapped: As given.
        shares: Adjusted.
        error: Of `shares`.
        margins: How far the interval reaches below and above them.
        reference: The last three of `AdjustedAreas`.
    """
    whole = float(mapped.sum())
    below, above = margins
    return AdjustedAreas(
        mapped.astype(np.float64),
        whole * shares,
        whole * error,
        whole * np.clip(shares - below, 0, 1),
        whole * np.clip(shares + above, 0, 1),
        *reference,
    )
