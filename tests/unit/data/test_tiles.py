"""Where tiles lie: nothing is missed, nothing lies outside but where padding is asked for."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data.tiles import Grid, Tile, TileConfig, starts

_side = st.tuples(st.integers(1, 200), st.integers(1, 60), st.integers(0, 59)).filter(
    lambda side: side[2] < side[1]
)


def _covered(length: int, tile: int, begins: list[int]) -> np.ndarray:
    covered = np.zeros(length, int)
    for begin in begins:
        covered[begin : begin + tile] += 1
    return covered


@given(_side, st.sampled_from(["pad", "shift"]))
def test_every_pixel_is_covered(side, edge):
    length, tile, overlap = side

    assert _covered(length, tile, list(starts(length, tile, overlap, edge))).all()


@given(_side, st.sampled_from(["pad", "shift", "drop"]))
def test_neighbours_overlap_as_asked_for_but_for_a_shifted_last_one(side, edge):
    length, tile, overlap = side

    steps = np.diff(starts(length, tile, overlap, edge))

    assert (steps[:-1] == tile - overlap).all()
    if len(steps):
        assert 0 < steps[-1] <= tile - overlap
        assert edge == "shift" or steps[-1] == tile - overlap


@given(_side, st.sampled_from(["shift", "drop"]))
def test_no_tile_reaches_over_the_edge_of_a_picture_that_is_large_enough(side, edge):
    length, tile, overlap = side
    begins = starts(length, tile, overlap, edge)

    assert begins[0] == 0
    assert begins[-1] + tile <= max(length, tile)


@given(_side)
def test_only_one_tile_at_most_is_padded_and_none_is_all_padding(side):
    length, tile, overlap = side

    begins = starts(length, tile, overlap, "pad")

    assert sum(begin + tile > length for begin in begins) <= 1
    assert begins[-1] < length


@pytest.mark.parametrize(
    ("edge", "expected"), [("pad", [0, 8, 16]), ("shift", [0, 8, 15]), ("drop", [0, 8])]
)
def test_a_side_of_25_in_tiles_of_10_that_overlap_by_2(edge, expected):
    assert list(starts(25, 10, 2, edge)) == expected


@pytest.mark.parametrize("edge", ["pad", "drop"])
def test_tiles_are_counted_without_a_list_of_them(edge):
    tracemalloc.start()
    grid = Grid.over((10**9, 10**9), (32, 31), TileConfig(edge=edge))
    assert grid.count == 31_250_000 * (32_258_065 - (edge == "drop"))
    assert tracemalloc.get_traced_memory()[1] < 10_000
    tracemalloc.stop()


@pytest.mark.parametrize("edge", ["pad", "shift", "drop"])
def test_a_picture_smaller_than_a_tile_is_one_tile(edge):
    grid = Grid.over((3, 7), (10, 10), TileConfig(edge=edge))

    assert (list(grid.tops), list(grid.lefts), grid.count) == ([0], [0], 1)


def test_keys_say_row_and_column():
    assert Tile(3, 12, 0, 0).key("town/7") == "town/7@r0003c0012"
