"""16-bit values as 8 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SCALED_AT_ONCE = 1 << 20  # values; bounds what the wide integers in between take


def to_8_bits(values: NDArray[Any], value_range: tuple[int, int]) -> NDArray[np.uint8]:
    """Scales integers evenly: the range's ends become 0 and 255, rounded to the nearest.

    Args:
        values: Integers [rows, …].
        value_range: Smallest and largest value; what lies outside is cut off there.

    Returns:
        uint8 of the same shape.
    """
    low, high = value_range
    scaled = np.empty(values.shape, np.uint8)
    rows = max(1, _SCALED_AT_ONCE * len(values) // max(1, values.size))
    for start in range(0, len(values), rows):
        above = values[start : start + rows].astype(np.int64).clip(low, high) - low
        scaled[start : start + rows] = (above * 255 + (high - low) // 2) // (high - low)
    return scaled
