"""Stored labels: what is written comes back, and others read it as we do."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from segflow.data import mask_formats
from segflow.data.mask_formats import bands, decode, decode_to_show, size_of, store
from segflow.errors import RejectError

# Of pycocotools, which decodes through an array of the old kind.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")

_ids = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 1, 2, 200]),
)


def encode(ids: np.ndarray, mask_format: str) -> bytes | None:
    """What a table holds of a mask."""
    return store(ids, 65536, mask_format).data


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


@pytest.mark.parametrize("mask_format", ["png", "rle", "none"])
@given(ids=_ids)
def test_the_pixels_of_each_class_are_counted(mask_format, ids):
    stored = store(ids, 201, mask_format)

    assert (stored.size, stored.format) == (ids.shape, mask_format)
    assert stored.pixels.tolist() == [int((ids == i).sum()) for i in range(201)]


@pytest.mark.parametrize("mask_format", ["png", "rle"])
@given(ids=_ids)
def test_any_mask_comes_in_bands(mask_format, ids):
    """Those of up to ten pixels are decoded whole, others as giants are."""
    data = store(ids, 201, mask_format).data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_formats, "LARGEST_DECODED", 10)
        patch.setattr(mask_formats, "_PIXELS_AT_ONCE", 4)
        found = list(bands(data, mask_format))

    assert size_of(data, mask_format) == ids.shape
    assert max(band.size for band in found) <= max(4, ids.shape[1])
    assert np.array_equal(np.concatenate(found), ids)


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_of_a_giant_pixels_at_equal_distances_are_shown(monkeypatch, mask_format):
    ids = (np.add.outer(np.arange(50) * 3, np.arange(70)) % 5).astype(np.uint8)
    data = store(ids, 5, mask_format).data

    assert np.array_equal(decode_to_show(data, mask_format), ids)
    monkeypatch.setattr(mask_formats, "LARGEST_DECODED", 10)
    monkeypatch.setattr(mask_formats, "_PIXELS_AT_ONCE", 500)
    monkeypatch.setattr(mask_formats, "_LONGEST_SHOWN", 30)
    assert np.array_equal(decode_to_show(data, mask_format), ids[::3, ::3])


def test_a_mask_that_no_table_holds_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(mask_formats, "_LARGEST_CELL", 100)
    noise = np.random.default_rng(0).integers(0, 5, (30, 30), np.uint8)

    for mask_format in ("png", "rle"):
        with pytest.raises(RejectError, match="label it with --mask-format none") as refused:
            store(noise, 5, mask_format)
        assert refused.value.code == "too_large"
    assert store(noise, 5, "none").data is None
