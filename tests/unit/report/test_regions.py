"""Connected regions, compared with a flood fill."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segflow.report.regions import region_sizes, speck_size

MASKS = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0, 1, 2, 255]),
)


def _flooded(ids: np.ndarray, class_id: int) -> list[int]:
    """Sizes of the regions of a class, by walking from neighbour to neighbour."""
    left = {tuple(p) for p in np.argwhere(ids == class_id).tolist()}
    sizes = []
    while left:
        region = [left.pop()]
        for row, column in region:
            around = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= around
            region.extend(around)
        sizes.append(len(region))
    return sorted(sizes)


@given(MASKS)
def test_regions_are_those_of_a_flood_fill(ids):
    found = region_sizes(ids, 4)

    assert [sorted(sizes.tolist()) for sizes in found] == [_flooded(ids, c) for c in range(4)]


def test_ids_of_16_bits_are_told_apart():
    ids = np.array([[300, 300], [44, 65535]], np.uint16)

    sizes = region_sizes(ids, 301)

    assert (sizes[300].tolist(), sizes[44].tolist()) == ([2], [1])
    assert sum(len(found) for found in sizes) == 2


def test_a_speck_is_a_ten_thousandth_and_never_less_than_four_pixels():
    assert [speck_size(size) for size in ((512, 512), (360, 480), (16, 24))] == [26, 17, 4]
