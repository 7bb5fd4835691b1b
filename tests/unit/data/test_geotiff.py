"""TIFFs by bands: what becomes of depths, palettes and colours, and that nothing else is opened."""

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rasterio.io import MemoryFile
from rasterio.transform import Affine, from_origin

from segflow.data import contained, geotiff, tiff
from segflow.data.config import DecodeLimits
from segflow.data.decode import decode_rgb
from segflow.data.reading import ReadingConfig
from segflow.errors import RejectCode, RejectError, UsageError
from tests.unit.data import pictures
from tests.unit.data.pictures import LIMITS

pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::PendingDeprecationWarning"
)


def _geotiff(bands: np.ndarray, **options: Any) -> bytes:
    """The bytes of a TIFF with `bands`, [n, height, width]."""
    count, height, width = bands.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, **options
        ) as dataset:
            dataset.write(bands)
        return bytes(memory.read())


def _bands(count: int, dtype: type = np.uint8) -> np.ndarray:
    most = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, most, (count, 6, 5), dtype, endpoint=True)


def _refused(data: bytes, **reading: Any) -> RejectError:
    with pytest.raises(RejectError) as caught:
        decode_rgb(data, LIMITS, ReadingConfig(**reading))
    return caught.value


def test_the_chosen_bands_become_red_green_and_blue():
    bands = _bands(7)

    decoded = decode_rgb(_geotiff(bands), LIMITS, ReadingConfig(bands="4,3,7"))

    assert np.array_equal(decoded, np.moveaxis(bands[[3, 2, 6]], 0, -1))


def test_one_chosen_band_becomes_grey():
    bands = _bands(3)

    decoded = decode_rgb(_geotiff(bands, photometric="RGB"), LIMITS, ReadingConfig(bands="2"))

    assert np.array_equal(decoded, np.repeat(bands[1][..., None], 3, axis=2))


@pytest.mark.parametrize("count", [3, 5, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_more_bands_than_a_viewer_knows_the_first_three_are_taken(count, dtype):
    bands = _bands(count, dtype)

    decoded = decode_rgb(_geotiff(bands, photometric="MINISBLACK"), LIMITS)

    scaled = bands if dtype is np.uint8 else np.round(bands / 257)
    assert np.array_equal(decoded, np.moveaxis(scaled[:3], 0, -1))


def test_a_value_range_spreads_the_values_that_a_sensor_uses():
    bands = np.array([[[0, 1000, 1500, 2000, 65535]]] * 4, np.uint16)
    reading = ReadingConfig(value_range="1000,2000")

    for data in (_geotiff(bands), _geotiff(bands[:1])):  # by GDAL, and by Pillow
        decoded = decode_rgb(data, LIMITS, reading)
        assert decoded[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_palette_is_looked_up_unless_its_band_is_asked_for():
    indices = np.array([[[0, 1, 2]]], np.uint8)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=1, height=1, width=3, dtype="uint8", photometric="palette"
        ) as dataset:
            dataset.write(indices)
            dataset.write_colormap(1, {0: (1, 2, 3), 1: (40, 50, 60), 2: (7, 8, 9)})
        data = bytes(memory.read())
    header = tiff.read_header(io.BytesIO(data))
    assert header is not None

    shown = geotiff.decode_rgb(data, header, ReadingConfig())
    assert shown[0].tolist() == [[1, 2, 3], [40, 50, 60], [7, 8, 9]]
    chosen = geotiff.decode_rgb(data, header, ReadingConfig(bands="1"))
    assert chosen[0].tolist() == [[0] * 3, [1] * 3, [2] * 3]


@pytest.mark.parametrize(
    ("data", "bands", "message"),
    [
        (_geotiff(_bands(2)), "1,2,3", "of 2 bands; expected to find 1,2,3"),
        (_geotiff(_bands(4).astype(np.float32)), "1", "no unsigned integers of 8 or 16 bits"),
        (_geotiff(_bands(4).astype(np.int16)), "1", "no unsigned integers of 8 or 16 bits"),
        (pictures.tiff((1, 4), 8, bytes(4), photometric=0), "1", "photometric interpretation 0"),
    ],
)
def test_bands_that_cannot_be_taken_as_they_are_are_not_supported(data, bands, message):
    error = _refused(data, bands=bands)

    assert error.code == RejectCode.UNSUPPORTED_FORMAT
    assert message in str(error)


def test_an_orientation_that_gdal_would_leave_out_is_refused():
    data = pictures.encode(pictures.photo(), "TIFF", exif=pictures.oriented(6))

    assert "orientation 6; save it upright" in str(_refused(data, bands="1,2,3"))


def test_the_pixel_cap_holds_for_bands_too():
    with pytest.raises(RejectError) as caught:
        decode_rgb(_geotiff(_bands(5)), DecodeLimits(max_pixels=29))

    assert caught.value.code == RejectCode.TOO_LARGE


def test_cut_files_are_unreadable():
    data = _geotiff(_bands(5), compress="deflate")

    assert _refused(data[: len(data) // 2]).code == RejectCode.UNREADABLE


def test_without_rasterio_one_line_says_what_to_install(monkeypatch):
    data = _geotiff(_bands(5))
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)

    error = _refused(data)
    assert error.code == RejectCode.UNSUPPORTED_FORMAT
    assert "pip install 'segflow[geo]'" in str(error)
    assert geotiff.ground_resolution(_geotiff_of_utm) is None


@pytest.mark.parametrize(
    ("crs", "transform", "expected"),
    [
        ("EPSG:32633", from_origin(5e5, 5e6, 0.3, 0.3), 0.3),
        ("EPSG:32633", from_origin(5e5, 5e6, 2, 8), 4.0),  # the square of equal area
        ("EPSG:32633", from_origin(5e5, 5e6, 1e7, 1e7), None),  # no pixel of anything
        ("EPSG:32633", Affine(0.6, -0.8, 5e5, -0.8, -0.6, 5e6), 1.0),  # turned
        ("EPSG:2263", from_origin(1e6, 2e5, 1, 1), 1200 / 3937),  # US survey feet
        ("EPSG:4326", from_origin(10, 50, 1e-5, 1e-5), None),  # degrees
        ("EPSG:3857", from_origin(1e6, 8e6, 1, 1), None),  # twice the ground, at 60 degrees
        ("EPSG:3395", from_origin(1e6, 8e6, 1, 1), None),
        (None, from_origin(5e5, 5e6, 0.3, 0.3), None),
    ],
)
def test_the_ground_resolution_is_the_side_of_a_pixel_in_metres(crs, transform, expected):
    data = _geotiff(_bands(3), crs=crs, transform=transform)

    found = geotiff.ground_resolution(data)

    assert found == (None if expected is None else pytest.approx(expected, rel=1e-9))


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_pictures_without_a_place_have_no_ground_resolution(kind):
    assert contained.ground_resolution(pictures.encode(pictures.photo(), kind), LIMITS) is None


def test_the_ground_resolution_is_read_where_it_can_do_no_harm(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(_geotiff_of_utm)

    for source in (_geotiff_of_utm, str(path)):
        assert contained.ground_resolution(source, LIMITS) == pytest.approx(0.5)


def test_rows_are_read_where_they_can_do_no_harm(tmp_path):
    bands = _bands(3)
    path = tmp_path / "a.tif"
    path.write_bytes(_geotiff(bands, photometric="RGB"))

    rows = contained.image_rows(str(path), 2, 3, LIMITS, ReadingConfig(bands="3,2,1"))
    assert np.array_equal(rows, np.moveaxis(bands[::-1, 2:5], 0, -1))
    assert np.array_equal(contained.mask_rows(str(path), 0, 6, LIMITS), np.moveaxis(bands, 0, -1))
    with pytest.raises(RejectError, match="header is broken"):
        contained.mask_rows("/dev/null", 0, 6, LIMITS)


_VRT = """<VRTDataset rasterXSize="5" rasterYSize="6"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>
"""


@pytest.mark.parametrize("bands", [None, "1"])
@pytest.mark.parametrize("source", ["secret.tif", "/vsizip/secret.zip", "/vsicurl/http://[::1]/a"])
def test_a_vrt_by_the_name_of_a_tiff_is_no_image(tmp_path, monkeypatch, bands, source):
    monkeypatch.chdir(tmp_path)
    Path("secret.tif").write_bytes(_geotiff(_bands(1)))
    data = _VRT.format(source=source).encode()

    assert _refused(data, bands=bands).code == RejectCode.UNREADABLE
    Path("a.tif").write_bytes(data)
    header = tiff.read_header(io.BytesIO(_geotiff(_bands(1))))
    assert header is not None
    for opened in (
        geotiff.opened_mask("a.tif", header),
        geotiff.opened_image("a.tif", header, ReadingConfig()),
    ):
        with pytest.raises(RejectError, match="GDAL finds broken"), opened:
            pytest.fail("it was opened")


def test_sidecars_and_overviews_are_never_read(tmp_path):
    """A mask beside the file, statistics, and another place on the ground."""
    path = tmp_path / "a.tif"
    path.write_bytes(_geotiff_of_utm)
    (tmp_path / "a.tif.msk").write_bytes(_geotiff(_bands(1)))
    (tmp_path / "a.tif.ovr").write_bytes(_geotiff(_bands(3)))
    (tmp_path / "a.tfw").write_text("7\n0\n0\n-7\n0\n0\n")
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><GeoTransform>0, 9, 0, 0, 0, -9</GeoTransform></PAMDataset>"
    )
    opened = []
    header = tiff.read_header(io.BytesIO(_geotiff_of_utm))
    assert header is not None

    with geotiff.opened_image(str(path), header, ReadingConfig()) as raster:
        opened = raster.dataset.files
        assert raster.dataset.res == (0.5, 0.5)

    assert [os.path.basename(name) for name in opened] == ["image.tif"]  # noqa: PTH119
    assert geotiff.ground_resolution(str(path)) == pytest.approx(0.5)


_geotiff_of_utm = _geotiff(_bands(3), crs="EPSG:32633", transform=from_origin(5e5, 5e6, 0.5, 0.5))


def test_gdal_opens_nothing_by_name(tmp_path):
    """Names that mean something to GDAL are but names of files here."""
    for name in ("/vsizip/a.zip/b.tif", "GTIFF_DIR:1:a.tif", "zip://a.zip!b.tif", "a?b#c.tif"):
        path = tmp_path / name.replace("/", ":")
        path.write_bytes(_geotiff_of_utm)
        assert geotiff.ground_resolution(str(path)) == pytest.approx(0.5)
    with pytest.raises(FileNotFoundError):
        geotiff.ground_resolution("/vsimem/none.tif")


def test_a_fault_of_the_storage_is_raised_and_not_taken_for_a_broken_file():
    unreadable = "/proc/self/mem"  # its first page answers with an input/output error

    with pytest.raises(OSError, match="Input/output"):
        geotiff.ground_resolution(unreadable)


@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
@pytest.mark.parametrize(
    ("options", "block"),
    [
        ({"tiled": True, "blockxsize": 32, "blockysize": 16}, 32 * 16 * 3 * 2),
        ({"blockysize": 7}, 7 * 50 * 3 * 2),
        ({"blockysize": 7, "interleave": "band"}, 7 * 50 * 2),
    ],
)
def test_the_header_says_how_pixels_are_stored(bigtiff, options, block):
    data = _geotiff(np.zeros((3, 40, 50), np.uint16), BIGTIFF=bigtiff, compress="lzw", **options)

    header = tiff.read_header(io.BytesIO(data))

    assert header is not None
    assert (header.height, header.width, header.bands, header.bits) == (40, 50, 3, 16)
    assert header.block_bytes == block
    assert header.is_unsigned
    assert header.is_lossless
    assert header.can_be_windowed
    assert not header.is_georeferenced


def test_a_giant_of_one_strip_cannot_be_read_by_window():
    """Its strip is decoded as a whole, which is what a window is to spare."""
    data = _geotiff(np.zeros((1, 40, 50), np.uint8), blockysize=40)
    header = tiff.read_header(io.BytesIO(data))
    assert header is not None and header.can_be_windowed

    tags = data.replace(struct.pack("<HHIH", 257, 3, 1, 40), struct.pack("<HHIH", 257, 3, 1, 60000))
    tags = tags.replace(struct.pack("<HHIH", 256, 3, 1, 50), struct.pack("<HHIH", 256, 3, 1, 60000))
    tags = tags.replace(struct.pack("<HHIH", 278, 3, 1, 40), struct.pack("<HHIH", 278, 3, 1, 60000))
    header = tiff.read_header(io.BytesIO(tags))

    assert header is not None
    assert (header.height, header.width) == (60000, 60000)
    assert not header.can_be_windowed


def test_headers_that_are_cut_off_or_hostile_are_none_and_quick():
    data = _geotiff_of_utm
    for length in range(0, 400, 7):
        tiff.read_header(io.BytesIO(data[:length]))
    endless = struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 273, 4, 2**30, 8) + bytes(1000)
    assert tiff.read_header(io.BytesIO(endless)) is None
    assert tiff.read_header(io.BytesIO(b"II*\0")) is None
    assert tiff.read_header(io.BytesIO(pictures.encode(pictures.photo(), "PNG"))) is None


def test_pillow_and_gdal_agree_where_both_read(tmp_path):
    photo = pictures.photo(40, 50)
    for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits"):
        data = pictures.encode(Image.fromarray(photo), "TIFF", compression=compression)
        assert np.array_equal(decode_rgb(data, LIMITS, ReadingConfig(bands="1,2,3")), photo)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": "1,2"}, "--bands must name 1 or 3 bands such as 4,3,2, found '1,2'"),
        ({"bands": "0"}, "--bands must be 1 or more, found '0'"),
        ({"bands": "red"}, "--bands must be numbers with commas between, found 'red'"),
        ({"value_range": "5"}, "--value-range must be a smaller and a larger value .* found '5'"),
        ({"value_range": "9,9"}, "--value-range .* found '9,9'"),
        ({"value_range": "0,65536"}, "--value-range .* found '0,65536'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        ReadingConfig(**options)


def test_bands_without_rasterio_are_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(UsageError, match=r"--bands needs rasterio; .*'segflow\[geo\]'"):
        ReadingConfig(bands="1,2,3")
