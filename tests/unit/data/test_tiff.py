"""Headers of TIFFs: what a damaged or hostile one may claim, and what it may cost."""

import io
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


@pytest.mark.parametrize(
    "options", [{}, {"BIGTIFF": "YES"}, {"interleave": "band"}, {"tiled": False}]
)
def test_what_gdal_writes_can_be_windowed(tmp_path, options):
    for path in giants.draw(tmp_path, 300, 530, **options):
        with Path(path).open("rb") as file:
            header = tiff.read_header(file)
        assert header is not None
        assert (header.height, header.width, header.can_be_windowed) == (300, 530, True)
