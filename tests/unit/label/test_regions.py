"""Connected regions, counted band by band, compared with a flood fill of the whole."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segflow.label import regions
from segflow.label.regions import RegionSums, count_regions

_MASKS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 2)
)


def _flooded(ids: np.ndarray) -> list[int]:
    """Regions of classes 0 to 2, by walking from neighbour to neighbour."""
    left = {(*at, int(ids[at])) for at in np.ndindex(ids.shape)}
    counts = [0, 0, 0]
    while left:
        row, column, class_id = left.pop()
        counts[class_id] += 1
        walk = [(row, column)]
        for row, column in walk:
            for step in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                pixel = (row + step[0], column + step[1], class_id)
                if pixel in left:
                    left.remove(pixel)
                    walk.append(pixel[:2])
    return counts


@given(_MASKS)
def test_they_are_those_of_a_flood_fill(ids):
    assert count_regions(ids, 3).tolist() == _flooded(ids)


@given(_MASKS, st.lists(st.integers(1, 11), max_size=4))
def test_bands_add_up_to_the_whole(ids, cuts):
    inside = sorted({cut for cut in cuts if cut < len(ids)})
    sums = RegionSums(ids.shape[1], 3)

    for rows in itertools.starmap(slice, itertools.pairwise([0, *inside, len(ids)])):
        sums.add(ids[rows])

    assert sums.counts.tolist() == _flooded(ids)


def test_a_spiral_is_one_region_however_it_is_cut(monkeypatch):
    """Its arms meet only in the middle: bands must remember what hangs together above them."""
    ids = np.zeros((17, 17), np.uint8)
    row, column, step = 0, 0, (0, 1)
    for length in [16, 16, 16, 14, 14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2, 2]:
        for _ in range(length):
            ids[row, column] = 1
            row, column = row + step[0], column + step[1]
        step = (step[1], -step[0])
    ids[row, column] = 1
    assert _flooded(ids)[:2] == [1, 1]

    for rows in (1, 2, 5, 100):
        monkeypatch.setattr(regions, "_BAND_PIXELS", 17 * rows)
        assert count_regions(ids, 2).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_may_hold_any_id(dtype):
    largest = np.iinfo(dtype).max
    ids = np.array([[largest, 0, largest]], dtype)

    counts = count_regions(ids, largest + 1)

    assert (counts[0], counts[largest], counts.sum()) == (1, 2, 3)
