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
