"""Connected regions of masks: how small they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_NEIGHBOURS = np.ones((3, 3), np.uint8)  # diagonal ones belong together, too


def speck_size(size: tuple[int, int]) -> int:
    """Regions with fewer pixels than this count as specks: 1 in 10,000, at least 4."""
    return max(4, round(size[0] * size[1] / 10_000))


def region_sizes(ids: NDArray[Any], classes: int) -> list[NDArray[np.int64]]:
    """Pixels of each connected region (8 neighbours) of each class, in no certain order.

    Args:
        ids: Class ids [height, width]; others than 0 to `classes` - 1 are left out.
        classes: Number of classes.
    """
    boxes = ndimage.find_objects(np.where(ids < classes, ids.astype(np.int32) + 1, 0), classes)
    return [
        np.zeros(0, np.int64) if box is None else _sizes(ids[box] == class_id)
        for class_id, box in enumerate(boxes)
    ]


def _sizes(where: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels, _ = ndimage.label(where, _NEIGHBOURS)
    return np.bincount(labels.ravel())[1:].astype(np.int64)
