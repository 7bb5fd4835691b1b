"""Headers of TIFFs: what a damaged or hostile one may claim, and what it may cost."""

import io
import struct
import tracemalloc
from pathlib import Path

import pytest

from segflow.data import tiff
from tests import giants
from tests.unit.data.pictures import claiming_tiff

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.mark.parametrize(
    ("height", "width"), [(4_294_967_295, 4_294_967_295), (50_000_000, 50_000_000), (257, 256)]
)
def test_a_size_that_its_tables_do_not_cover_is_not_read_by_window(height, width):
    header = tiff.read_header(claiming_tiff(height, width))

    assert header is not None
    assert (header.height, header.width) == (height, width)
    assert not header.can_be_windowed


@pytest.mark.parametrize(
    ("blocks", "planes", "expected"), [(12, 1, True), (11, 1, False), (36, 3, True), (35, 3, False)]
)
def test_as_many_blocks_are_needed_as_cover_the_picture(blocks, planes, expected):
    header = tiff.read_header(claiming_tiff(600, 1000, 256, blocks, planes))

    assert header is not None
    assert header.can_be_windowed == expected


def test_tables_that_reach_beyond_the_file_are_broken():
    data = claiming_tiff(600, 1000, 256, 12).getvalue()

    assert tiff.read_header(io.BytesIO(data[:-1])) is None


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(100_000, 1_000_000, True), (100_001, 1_000_000, False), (1, (1 << 24) + 1, False)],
)
def test_pixels_and_sides_are_capped_however_full_the_tables(height, width, expected):
    header = tiff.read_header(claiming_tiff(height, width, 9_000, 1344))

    assert header is not None
    assert header.can_be_windowed == expected


def _with_entries(entries: int, *first: tuple[int, int, int, int]) -> io.BytesIO:
    """A BigTIFF of so many entries, all sound; `first`: tag, type, count, value."""
    data = struct.pack("<4sHHQQ", b"II+\0", 8, 0, 16, entries)
    size = [(256, 4, 1, 5), (257, 4, 1, 6)]
    for entry in (*first, *size):
        data += struct.pack("<HHQQ", *entry)
    more = range(1000, 1000 + entries - len(size) - len(first))
    data += b"".join(struct.pack("<HHQQ", tag % 65536, 4, 1, 0) for tag in more)
    return io.BytesIO(data + bytes(8))


@pytest.mark.parametrize(("entries", "expected"), [(512, True), (513, False)])
def test_entries_are_capped(entries, expected):
    assert (tiff.read_header(_with_entries(entries)) is not None) == expected


@pytest.mark.parametrize("bits_per_sample", [1 << 20, 1 << 60])
def test_a_hostile_header_costs_little(bits_per_sample):
    whole = _with_entries(3, (258, 3, bits_per_sample, 0)).getvalue() + bytes(4 << 20)
    many = _with_entries(1 << 18).getvalue()

    for data in (whole, many):
        tracemalloc.start()
        assert tiff.read_header(io.BytesIO(data)) is None
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
        tracemalloc.stop()


def test_a_tag_that_comes_twice_is_broken():
    assert tiff.read_header(_with_entries(4, (256, 4, 1, 7))) is None


@pytest.mark.parametrize(
    "options", [{}, {"BIGTIFF": "YES"}, {"interleave": "band"}, {"tiled": False}]
)
def test_what_gdal_writes_can_be_windowed(tmp_path, options):
    for path in giants.draw(tmp_path, 300, 530, **options):
        with Path(path).open("rb") as file:
            header = tiff.read_header(file)
        assert header is not None
        assert (header.height, header.width, header.can_be_windowed) == (300, 530, True)
