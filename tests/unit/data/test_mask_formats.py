"""Stored labels: what is written comes back, and others read it as we do."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from segflow.data.mask_formats import decode, encode

# Of pycocotools, which decodes through an array of the old kind.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")

_ids = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 1, 2, 200]),
)


@pytest.mark.parametrize("mask_format", ["png", "rle"])
@given(ids=_ids)
def test_what_is_stored_comes_back(mask_format, ids):
    assert np.array_equal(decode(encode(ids, mask_format), mask_format), ids)


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_16_bit_ids_come_back(mask_format):
    ids = np.array([[0, 300], [65535, 300]], np.uint16)

    assert np.array_equal(decode(encode(ids, mask_format), mask_format), ids)


def test_no_mask_is_stored_as_none():
    assert encode(np.zeros((2, 2), np.uint8), "none") is None


@given(ids=_ids)
def test_run_lengths_are_cocos_one_for_each_class_there_is(ids):
    entries = json.loads(encode(ids, "rle"))

    assert [entry["class_id"] for entry in entries] == np.unique(ids).tolist()
    for entry in entries:
        assert entry["size"] == list(ids.shape)
        rle = {"size": entry["size"], "counts": entry["counts"].encode()}
        assert np.array_equal(coco.decode(rle), ids == entry["class_id"])
        assert coco.area(rle) == (ids == entry["class_id"]).sum()


def test_the_masks_own_memory_layout_does_not_matter():
    ids = np.arange(6, dtype=np.uint8).reshape(2, 3)

    for mask_format in ("png", "rle"):
        assert encode(np.asfortranarray(ids), mask_format) == encode(ids, mask_format)
        assert encode(ids[::-1][::-1], mask_format) == encode(ids, mask_format)
