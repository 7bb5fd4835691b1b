"""COCO's run lengths from bands of rows: what pycocotools makes of the whole mask."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from segflow.data.run_lengths import RunLengthWriter, from_text, read_bands, to_text

# Of pycocotools, which decodes through an array of the old kind.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")

_ids = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
    elements=st.sampled_from([0, 1, 2, 200]),
)


def _written(ids: np.ndarray, rows: int) -> bytes:
    writer = RunLengthWriter(ids.shape)
    for top in range(0, len(ids), rows):
        writer.add(ids[top : top + rows])
    return writer.finish()


@given(ids=_ids, rows=st.integers(1, 20))
def test_bands_give_pycocotools_run_lengths_of_the_whole(ids, rows):
    expected = []
    for class_id in np.unique(ids).tolist():
        rle = coco.encode(np.asfortranarray((ids == class_id).astype(np.uint8)))
        counts = rle["counts"].decode("ascii")
        expected.append({"class_id": class_id, "size": rle["size"], "counts": counts})

    assert json.loads(_written(ids, rows)) == expected


@given(ids=_ids, rows=st.integers(1, 20), read=st.integers(1, 20))
def test_they_are_read_again_by_other_bands(ids, rows, read):
    bands = list(read_bands(json.loads(_written(ids, rows)), read))

    assert all(len(band) == read for band in bands[:-1])
    assert np.array_equal(np.concatenate(bands), ids)


@given(st.lists(st.integers(0, 1 << 24), min_size=1, max_size=30))
def test_the_text_is_pycocotools_and_comes_back(counts):
    text = to_text(np.array(counts, np.int64))

    theirs = coco.frPyObjects({"counts": counts, "size": [1, sum(counts)]}, 1, sum(counts))
    assert text == theirs["counts"].decode("ascii")
    assert from_text(text).tolist() == counts


def test_counts_of_giants_need_more_than_pycocotools_has():
    counts = np.array([0, 5_000_000_000, 7, 4_000_000_000, 5_000_000_000])

    assert from_text(to_text(counts)).tolist() == counts.tolist()
