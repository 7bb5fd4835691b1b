"""What a model says of one image."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNCERTAIN_BELOW = 0.75
"""A pixel counts as uncertain where its class is less likely than this, unless told otherwise.

There the odds against all other classes together are less than 3 : 1. Below 0.5, where they are
less than even, a model of two classes has no pixel at all.
"""

_CELLS = 64  # along the longer side of a map: enough to see where, and small as PNG
_STEPS = 15  # of its values, for the same reason


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        mask: Class ids at the image's size, uint8 or uint16 [height, width]: the logits resized
            bilinearly, then argmax. Of no rows where they were handed on (`Predictor.slide`).
        confidence: Largest class probability, averaged over the pixels at the model's
            resolution, padding left out.
        class_confidence: The same over the pixels of each class, float64 [n]; NaN where the
            class has none at the model's resolution.
        entropy: Shannon entropy of the class probabilities divided by its largest possible
            value, log n, averaged over the same pixels: 0 where the model is sure, 1 where all
            classes are equally likely.
        uncertain_fraction: Share of the same pixels whose largest class probability is below a
            limit, `UNCERTAIN_BELOW` unless the predictor was told another.
        uncertainty: Where these pixels lie: entropies averaged over cells of them, uint8 [h, w]
            for 0 to 1, 64 cells along the longer side or, of smaller pictures, a cell for each
            pixel.
        seen: Of each pixel at the model's resolution, padding left out: its class id and the
            probability of that class, integers and float32 [h, w]; None unless they are kept.
    """

    mask: NDArray[Any]
    confidence: float
    class_confidence: NDArray[np.float64]
    entropy: float
    uncertain_fraction: float
    uncertainty: NDArray[np.uint8]
    seen: tuple[NDArray[np.integer[Any]], NDArray[np.float32]] | None = None


class ConfidenceSums:
    """Adds up confidences and entropies of parts of an image, from top to bottom.

    Args:
        classes: Number of classes n.
        size: (height, width) of all parts together, in pixels.
        uncertain_below: Pixels of a lower confidence count as uncertain.
        keep: Whether to keep each pixel's confidence, too.
    """

    def __init__(
        self,
        classes: int,
        size: tuple[int, int],
        uncertain_below: float = UNCERTAIN_BELOW,
        keep: bool = False,
    ) -> None:
        self._parts: list[tuple[NDArray[Any], NDArray[np.float32]]] | None = [] if keep else None
        self._pixels = np.zeros(classes, np.int64)
        self._sums = np.zeros(classes, np.float64)
        self._uncertain_below, self._uncertain = uncertain_below, 0
        self._entropies = _CellSums(size)
        self._largest_entropy = math.log(classes) or 1.0  # a model of one class is always sure

    def add(
        self,
        best: NDArray[np.integer[Any]],
        confidence: NDArray[np.float32],
        entropy: NDArray[np.float32],
    ) -> None:
        """Adds the next rows, all of equal shapes [rows, w].

        Args:
            best: Class ids.
            confidence: Largest class probabilities.
            entropy: Of the class probabilities, in nats.
        """
        if self._parts is not None:
            self._parts.append((best, confidence))
        ids, classes = best.ravel(), len(self._pixels)
        self._pixels += np.bincount(ids, minlength=classes)
        self._sums += np.bincount(ids, confidence.ravel().astype(np.float64), minlength=classes)
        self._uncertain += int(np.count_nonzero(confidence < self._uncertain_below))
        self._entropies.add(entropy)

    def prediction(self, mask: NDArray[Any]) -> Prediction:
        """The prediction with this mask and the means over all parts."""
        pixels = int(self._pixels.sum())
        with np.errstate(invalid="ignore"):
            by_class = self._sums / self._pixels
            shares = np.clip(self._entropies.means() / self._largest_entropy, 0, 1)
            uncertainty = (np.rint(shares * _STEPS) * (255 / _STEPS)).astype(np.uint8)
        entropy = self._entropies.total() / pixels / self._largest_entropy
        return Prediction(
            mask=mask,
            confidence=float(self._sums.sum() / pixels),
            class_confidence=by_class,
            entropy=min(entropy, 1.0),  # in single precision it may be a hair larger
            uncertain_fraction=self._uncertain / pixels,
            uncertainty=uncertainty,
            seen=self._seen(),
        )

    def _seen(self) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
        if self._parts is None:
            return None
        best, confidence = zip(*self._parts, strict=True)
        return np.concatenate(best), np.concatenate(confidence)


class _CellSums:
    """Sums of a picture's pixels over cells that part it evenly, rows added from top to bottom.

    Args:
        size: (height, width) of the picture.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        scale = min(1.0, _CELLS / max(size))
        cells = [max(1, round(side * scale)) for side in size]
        rows, columns = (np.arange(n + 1) * side // n for n, side in zip(cells, size, strict=True))
        self._areas = np.outer(np.diff(rows), np.diff(columns))
        self._sums = np.zeros(self._areas.shape, np.float64)
        self._left = columns[:-1]
        self._cell_of_row = np.repeat(np.arange(cells[0]), np.diff(rows))
        self._rows_added = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Adds the next rows, [rows, width]."""
        if not len(values):
            return
        following = self._cell_of_row[self._rows_added : self._rows_added + len(values)]
        cells, tops = np.unique(following, return_index=True)
        across = np.add.reduceat(values, self._left, axis=1, dtype=np.float64)
        self._sums[cells] += np.add.reduceat(across, tops, axis=0)
        self._rows_added += len(values)

    def means(self) -> NDArray[np.float64]:
        """Of each cell, [cells down, cells across]."""
        return self._sums / self._areas

    def total(self) -> float:
        """The sum of all pixels."""
        return float(self._sums.sum())
