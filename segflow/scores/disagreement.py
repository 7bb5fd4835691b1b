"""Pixels that look mislabelled: the model is sure of another class than the truth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENT = 0.9
"""From this probability of its class on, the model counts as sure."""

NOTEWORTHY = 0.005
"""Of an image's valid pixels: fewer are what any two outlines of one thing differ by."""


def confident_disagreement(
    truth: NDArray[Any], best: NDArray[Any], confidence: NDArray[Any], ignore_id: int
) -> NDArray[np.bool_]:
    """Where the model is sure of another class than the truth.

    A model that was trained on these very masks may have learnt their mistakes.

    Args:
        truth: Integer ids of any shape.
        best: The most likely class ids, of the same shape.
        confidence: Their probabilities, of the same shape.
        ignore_id: Pixels of this true id are left out.
    """
    return (truth != ignore_id) & (truth != best) & (confidence >= CONFIDENT)
