"""PNG as a stream: any reader gets the mask, and so does this one, by bands."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from segflow.data import png

_ids = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
    elements=st.integers(0, 255),
)


def _written(ids: np.ndarray, rows: int) -> bytes:
    writer = png.PngWriter(ids.shape, ids.dtype)
    for top in range(0, len(ids), rows):
        writer.add(ids[top : top + rows])
    return writer.finish()


@given(ids=_ids, rows=st.integers(1, 20))
def test_pillow_reads_what_was_written_in_bands(ids, rows):
    with Image.open(io.BytesIO(_written(ids, rows)), formats=("PNG",)) as image:
        image.verify()  # checks the CRC of every chunk
    with Image.open(io.BytesIO(_written(ids, rows)), formats=("PNG",)) as image:
        found = np.asarray(image)

    assert found.dtype == ids.dtype
    assert np.array_equal(found, ids)


@given(ids=_ids, rows=st.integers(1, 20), read=st.integers(1, 20))
def test_it_is_read_again_by_other_bands(ids, rows, read):
    data = _written(ids, rows)

    bands = list(png.read_bands(data, read))

    assert png.size_of(data) == ids.shape
    assert all(len(band) == read for band in bands[:-1])
    assert np.array_equal(np.concatenate(bands), ids)
    assert bands[0].dtype == ids.dtype


def test_16_bit_ids_come_back():
    ids = np.array([[0, 300, 65535], [65535, 299, 1]], np.uint16)

    assert np.array_equal(np.asarray(Image.open(io.BytesIO(_written(ids, 1)))), ids)
    assert np.array_equal(np.concatenate(list(png.read_bands(_written(ids, 2), 1))), ids)


def test_large_data_is_cut_into_chunks(monkeypatch):
    monkeypatch.setattr(png, "_CHUNK", 1000)
    ids = np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8)

    data = _written(ids, 10)

    assert data.count(b"IDAT") > 2
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), ids)
    assert np.array_equal(np.concatenate(list(png.read_bands(data, 7))), ids)


def test_a_row_like_the_one_above_costs_next_to_nothing_however_wide():
    row = np.random.default_rng(0).integers(0, 5, (1, 100_000), np.uint8)

    assert len(_written(row.repeat(50, 0), 10)) < len(_written(row, 1)) + 50_000


def test_a_file_that_is_cut_off_or_not_ours_is_told():
    ids = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    whole = _written(ids, 20)
    pixels = b"".join(b"\0" + row.tobytes() for row in ids)
    chunk = b"IDAT" + zlib.compress(pixels)
    other = whole[:33] + struct.pack(">I", len(chunk) - 4) + chunk + bytes(4)

    with pytest.raises(ValueError, match="a PNG that ends behind row 0 of 20"):
        list(png.read_bands(whole[:100], 5))
    with pytest.raises(ValueError, match="other filters than segflow writes"):
        list(png.read_bands(other, 5))
