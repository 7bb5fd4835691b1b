"""Stored masks come back exactly, whatever the format."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco

from segflow.data.mask_formats import decode, encode

_SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@pytest.mark.parametrize("mask_format", ["png", "rle"])
@given(mask=arrays(np.uint16, _SIZES, elements=st.sampled_from([0, 1, 2, 255, 300, 65535])))
def test_round_trip(mask_format, mask):
    assert np.array_equal(decode(encode(mask, mask_format), mask_format), mask)


def test_run_lengths_are_cocos():
    mask = np.array([[0, 3, 3], [0, 0, 3]], np.uint8)
    entries = {e["class_id"]: e for e in json.loads(encode(mask, "rle"))}
    assert entries.keys() == {0, 3}
    for class_id, entry in entries.items():
        rle = {"size": entry["size"], "counts": entry["counts"].encode()}
        assert np.array_equal(coco.decode(rle), mask == class_id)
        assert coco.area(rle) == np.count_nonzero(mask == class_id)


def test_a_palette_png_holds_indices():
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(ids)
    image.putpalette([7, 8, 9] * 12)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert np.array_equal(decode(buffer.getvalue(), "png"), ids)


def test_none_stores_nothing():
    assert encode(np.zeros((2, 2), np.uint8), "none") is None
