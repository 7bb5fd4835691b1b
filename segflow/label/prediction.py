"""What a model says of one image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        seen: Of each pixel at the model's resolution, padding left out: its class id and the
            probability of that class, integers and float32 [h, w]; None unless they are kept.
    """

    mask: NDArray[Any]
    confidence: float
    class_confidence: NDArray[np.float64]
    seen: tuple[NDArray[np.integer[Any]], NDArray[np.float32]] | None = None


class ConfidenceSums:
    """Adds up confidences of parts of an image, by class.

    Args:
        classes: Number of classes n.
        keep: Whether to keep each pixel's, too.
    """

    def __init__(self, classes: int, keep: bool = False) -> None:
        self._parts: list[tuple[NDArray[Any], NDArray[np.float32]]] | None = [] if keep else None
        self._pixels = np.zeros(classes, np.int64)
        self._sums = np.zeros(classes, np.float64)

    def add(self, best: NDArray[np.integer[Any]], confidence: NDArray[np.float32]) -> None:
        """Adds the next rows: class ids and largest probabilities, of equal shapes [rows, w]."""
        if self._parts is not None:
            self._parts.append((best, confidence))
        ids, classes = best.ravel(), len(self._pixels)
        self._pixels += np.bincount(ids, minlength=classes)
        self._sums += np.bincount(ids, confidence.ravel().astype(np.float64), minlength=classes)

    def prediction(self, mask: NDArray[Any]) -> Prediction:
        """The prediction with this mask and the means over all parts."""
        with np.errstate(invalid="ignore"):
            by_class = self._sums / self._pixels
        mean = float(self._sums.sum() / self._pixels.sum())
        return Prediction(mask, mean, by_class, self._seen())

    def _seen(self) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
        if self._parts is None:
            return None
        best, confidence = zip(*self._parts, strict=True)
        return np.concatenate(best), np.concatenate(confidence)
