"""What differs between rows, bit by bit."""

import numpy as np

from segflow.explain.differences import changed_pixels, differences
from segflow.explain.versions import other_versions
from tests.drawn import encode


def test_equal_rows_do_not_differ():
    rows = [{"class_id": 0, "pixels": 3, "share": 0.1 + 0.2}, {"class_id": 1, "pixels": 0}]
    assert differences("areas", rows, rows[::-1], "class_id") == []
    assert differences("areas", [], [], "class_id") == []


def test_the_last_bit_counts():
    (found,) = differences("images", [{"x": 0.3, "y": 1}], [{"x": 0.1 + 0.2, "y": 1}])
    assert found == {
        **{"table": "images", "row": None, "column": "x"},
        **{"stored": 0.3, "made": 0.30000000000000004},
    }


def test_columns_that_one_side_has_are_of_another_version():
    assert differences("images", [{"x": 1, "old": 2}], [{"x": 1, "new": 3}]) == []


def test_masks_are_compared_by_pixel():
    one, other = np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8)
    other[0, :2] = 7
    assert changed_pixels(encode(one), encode(other), "png") == "2 of 12"
    assert changed_pixels(encode(one), encode(one[:2]), "png") == "another size, (2, 4) for (3, 4)"
    bloated = encode(one, compress_level=0)
    assert changed_pixels(encode(one), bloated, "png") == "none, but they are encoded otherwise"


def test_bytes_are_not_shown():
    (found,) = differences("images", [{"mask": None}], [{"mask": b"1234", "mask_format": "png"}])
    assert (found["stored"], found["made"]) == (None, "4 bytes")


def test_versions_that_are_others_here():
    assert other_versions({"numpy": "0.1", "nosuchlibrary": "2"})[1] == "nosuchlibrary 2, here none"
    assert other_versions({}) == []
