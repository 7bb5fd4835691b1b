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
            bilinearly, then argmax.
        confidence: Largest class probability, averaged over the pixels at the model's
            resolution, padding left out.
        class_confidence: The same over the pixels of each class, float64 [n]; NaN where the
            class has none at the model's resolution.
    """

    mask: NDArray[Any]
    confidence: float
    class_confidence: NDArray[np.float64]


class ConfidenceSums:
    """Adds up confidences of parts of an image, by class."""

    def __init__(self, classes: int) -> None:
        self._pixels = np.zeros(classes, np.int64)
        self._sums = np.zeros(classes, np.float64)

    def add(self, best: NDArray[np.integer[Any]], confidence: NDArray[np.float32]) -> None:
        """Adds a part: class ids and largest probabilities, of equal shapes."""
        ids, classes = best.ravel(), len(self._pixels)
        self._pixels += np.bincount(ids, minlength=classes)
        self._sums += np.bincount(ids, confidence.ravel().astype(np.float64), minlength=classes)

    def prediction(self, mask: NDArray[Any]) -> Prediction:
        """The prediction with this mask and the means over all parts."""
        with np.errstate(invalid="ignore"):
            by_class = self._sums / self._pixels
        return Prediction(mask, float(self._sums.sum() / self._pixels.sum()), by_class)
