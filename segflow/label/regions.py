"""How many connected regions each class of a mask has, a band of rows in memory at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_BAND_PIXELS = 1 << 22  # at once; what labelling a band takes is some ten bytes for each


def count_regions(mask: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Regions of each class: pixels of one class belong together where they share a side.

    Args:
        mask: Class ids below `classes`, integers [height, width].
        classes: Number of classes n.

    Returns:
        int64 [n].
    """
    regions = RegionSums(mask.shape[1], classes)
    rows = max(1, _BAND_PIXELS // mask.shape[1])
    for top in range(0, len(mask), rows):
        regions.add(mask[top : top + rows])
    return regions.counts


class RegionSums:
    """Counts the regions of a mask whose rows are added from top to bottom.

    Of what lies above it keeps only which pixels of the last row are of one region.

    Args:
        width: Of the mask, in pixels.
        classes: Number of classes n.

    Attributes:
        counts: Regions of each class so far, int64 [n].
    """

    def __init__(self, width: int, classes: int) -> None:
        self.counts = np.zeros(classes, np.int64)
        self._ids = np.full(width, -1)  # of the last row
        self._regions = np.zeros(width, np.int64)  # of the last row, numbered from 0
        self._classes = np.zeros(0, np.int64)  # of these regions

    def add(self, ids: NDArray[Any]) -> None:
        """Adds the next rows, class ids [rows, width]."""
        band, found = _band_regions(ids, len(self.counts))
        above = len(self._classes)
        touching = self._ids == ids[0]
        pairs = self._regions[touching], above + band[0, touching]
        parts = np.concatenate([self._classes, found])
        links = coo_array((np.ones(len(pairs[0])), pairs), (len(parts), len(parts)))
        count, region_of_part = connected_components(links, directed=False)
        classes = np.empty(count, np.int64)
        classes[region_of_part] = parts
        self.counts += np.bincount(classes, minlength=len(self.counts))
        self.counts -= np.bincount(self._classes, minlength=len(self.counts))
        kept, self._regions = np.unique(region_of_part[above + band[-1]], return_inverse=True)
        self._classes, self._ids = classes[kept], ids[-1].astype(np.int64)


def _band_regions(ids: NDArray[Any], classes: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The region of each pixel, numbered from 0, as if there were nothing else; their classes."""
    regions: NDArray[np.int32] = np.zeros(ids.shape, np.int32)
    found: list[int] = []
    for class_id, box in enumerate(ndimage.find_objects(ids.astype(np.int32) + 1, classes)):
        if box is not None:
            where = ids[box] == class_id
            labels, count = ndimage.label(where)
            np.copyto(regions[box], labels + (len(found) - 1), where=where)
            found += [class_id] * count
    return regions, np.array(found, np.int64)
