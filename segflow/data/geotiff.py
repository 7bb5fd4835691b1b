"""TIFFs that Pillow does not read, or not in parts: bands, windows, ground resolution.

GDAL, through rasterio (the extra `segflow[geo]`), sees one file and nothing else: it reads through
a function that knows a single name, with the one driver GTiff. A VRT, a side-car (.aux.xml, .ovr,
.msk, .tfw) or a path below /vsi is never opened, whatever a file says.
"""

import contextlib
import importlib.util
import io
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from segflow.data.depth import to_8_bits
from segflow.data.reading import ReadingConfig
from segflow.data.tiff import TiffHeader, read_header
from segflow.errors import RejectCode, RejectError
from segflow.ranges import GROUND_RESOLUTION

if TYPE_CHECKING:
    import rasterio

# Distributions whose version decides what is read; without it, some TIFFs are rejected.
LIBRARIES = ("rasterio",) if importlib.util.find_spec("rasterio") else ()

_ONE, _THREE = (1,), (1, 2, 3)
_NAME = "image.tif"  # what GDAL believes the file to be called
# Their scale grows with latitude, without bound: at 60 degrees, EPSG:3857 doubles every length.
_MERCATOR = re.compile(r'(?:PROJECTION|METHOD)\["(?:Popular Visualisation Pseudo )?Mercator')
_OPTIONS = {
    "GDAL_CACHEMAX": 64,  # MiB; the default is a share of the machine's memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
}


@dataclass(frozen=True)
class TiffRaster:
    """An open TIFF, read by rows.

    Attributes:
        dataset: As rasterio opened it.
        file: What it was opened from.
        size: (height, width) in pixels.
        bands: Numbers of the bands that are read, from 1.
        value_range: 16-bit values that become 0 and 255 in RGB.
        palette: uint8 [n, 3] for indices that stand for colours.
    """

    dataset: "rasterio.DatasetReader"
    file: "_OnlyFile"
    size: tuple[int, int]
    bands: tuple[int, ...]
    value_range: tuple[int, int] = (0, 65535)
    palette: NDArray[np.uint8] | None = None

    def rows(self, top: int, count: int) -> NDArray[Any]:
        """The values of rows `top` to `top + count`, uint8 or uint16 [count, width, bands].

        Raises:
            RejectError: The data is broken or cut off.
            OSError: The storage failed in a way that may pass.
        """
        window = ((top, top + count), (0, self.size[1]))
        with self.file.complaints():
            return np.moveaxis(self.dataset.read(list(self.bands), window=window), 0, -1)

    def to_rgb(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Makes RGB, uint8 [height, width, 3], of values [height, width, bands]."""
        if self.palette is not None:
            return self.palette[values[..., 0]]
        if values.dtype == np.uint16:
            values = to_8_bits(values, self.value_range)
        grey = values.shape[2] == 1
        return np.repeat(values, 3, axis=2) if grey else np.ascontiguousarray(values)


@contextlib.contextmanager
def opened_image(
    source: str | bytes, header: TiffHeader, reading: ReadingConfig
) -> Iterator[TiffRaster]:
    """Opens an image.

    Args:
        source: The file's path, or its bytes.
        header: Its header.
        reading: Which bands, and how 16-bit values become 8 bits.

    Raises:
        RejectError: It is broken, or its bands are not as expected.
    """
    _require_no(header.problem((8, 16)))
    bands = reading.chosen_bands or (_ONE if header.bands == 1 else _THREE)
    if max(bands) > header.bands:
        wanted = ",".join(map(str, bands))
        _require_no(f"a TIFF of {header.bands} bands; expected to find {wanted} (--bands)")
    with _opened(source) as (dataset, file):
        palette = _palette(dataset) if header.has_palette and reading.bands is None else None
        size = (header.height, header.width)
        yield TiffRaster(dataset, file, size, bands, reading.values, palette)


@contextlib.contextmanager
def opened_mask(path: str, header: TiffHeader) -> Iterator[TiffRaster]:
    """Opens a mask: one band of values or palette indices, or three of colours.

    Raises:
        RejectError: It is broken, lossy, or neither of these.
    """
    if not header.is_lossless:
        raise RejectError(
            RejectCode.LOSSY_MASK, "a TIFF of lossy or unknown compression; use deflate or LZW"
        )
    _require_no(header.problem((1, 2, 4, 8, 16) if header.bands == 1 else (8,)))
    if header.bands not in (1, 3, 4):
        _require_no(f"a mask of {header.bands} bands; expected one, or RGB")
    with _opened(path) as (dataset, file):
        bands = _ONE if header.bands == 1 else _THREE
        yield TiffRaster(dataset, file, (header.height, header.width), bands)


def decode_rgb(data: bytes, header: TiffHeader, reading: ReadingConfig) -> NDArray[np.uint8]:
    """Decodes a whole TIFF to RGB, uint8 [height, width, 3].

    Raises:
        RejectError: See `opened_image`.
    """
    with opened_image(data, header, reading) as raster:
        return raster.to_rgb(raster.rows(0, raster.size[0]))


def image_rows(path: str, top: int, count: int, reading: ReadingConfig) -> NDArray[np.uint8]:
    """Reads some rows of an image file, the rest of which is left alone.

    Args:
        path: The file.
        top: First row.
        count: How many.
        reading: Which bands, and how 16-bit values become 8 bits.

    Returns:
        RGB, uint8 [count, width, 3].

    Raises:
        RejectError: See `opened_image`.
        OSError: The storage failed in a way that may pass.
    """
    with opened_image(path, _header(path), reading) as raster:
        return raster.to_rgb(raster.rows(top, count))


def mask_rows(path: str, top: int, count: int) -> NDArray[Any]:
    """Reads some rows of a mask file.

    Args:
        path: The file.
        top: First row.
        count: How many.

    Returns:
        Values, uint8 or uint16 [count, width], or colours, uint8 [count, width, 3].

    Raises:
        RejectError: See `opened_mask`.
        OSError: The storage failed in a way that may pass.
    """
    with opened_mask(path, _header(path)) as raster:
        values = raster.rows(top, count)
        return values[..., 0] if values.shape[2] == 1 else values


def _header(path: str) -> TiffHeader:
    with Path(path).open("rb") as file:
        header = read_header(file)
    if header is None:
        raise RejectError(RejectCode.UNREADABLE, "a TIFF whose header is broken")
    return header


def ground_resolution(source: str | bytes) -> float | None:
    """The side of a square of a pixel's area on the ground, in metres.

    Returns:
        None without a projected coordinate system whose scale is about that of the ground (degrees
        are no lengths, and Mercator is stretched towards the poles), without rasterio, or
        where it is beyond all that `segflow.ranges.GROUND_RESOLUTION` allows.
    """
    if not is_installed():
        return None
    with contextlib.suppress(RejectError), _opened(source) as (dataset, _):
        crs, grid = dataset.crs, dataset.transform
        if crs is not None and crs.is_projected and not _MERCATOR.search(crs.to_wkt()):
            metres = float(crs.linear_units_factor[1])
            side = math.sqrt(abs(grid.determinant)) * metres
            low, high = GROUND_RESOLUTION
            return side if low <= side <= high else None
    return None


def is_installed() -> bool:
    """Whether rasterio is there."""
    try:
        import rasterio  # noqa: F401
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def _opened(source: str | bytes) -> Iterator[tuple["rasterio.DatasetReader", "_OnlyFile"]]:
    if not is_installed():
        _require_no("a TIFF that needs rasterio; install it with: pip install 'segflow[geo]'")
    import rasterio

    # For good: to set filters for a while is not safe while other threads do.
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    only = _OnlyFile(source)
    with contextlib.ExitStack() as stack:
        stack.enter_context(only.complaints())
        stack.enter_context(rasterio.Env(**_OPTIONS))
        dataset = rasterio.open(_NAME, driver="GTiff", sharing=False, opener=only.open)
        yield stack.enter_context(dataset), only


class _OnlyFile:
    """The one file that GDAL may open, and what went wrong while reading it."""

    def __init__(self, source: str | bytes) -> None:
        self._source = source
        self._faults: list[OSError] = []

    def open(self, name: str, mode: str = "rb", **_: Any) -> BinaryIO:
        """Opens it by the name it goes by; there is no other."""
        if name != _NAME:
            raise FileNotFoundError(name)
        if isinstance(self._source, bytes):
            return io.BytesIO(self._source)
        try:
            return cast(BinaryIO, _Noted(self._source, self._faults))
        except OSError as error:
            self._faults.append(error)
            raise

    @contextlib.contextmanager
    def complaints(self) -> Iterator[None]:
        """Turns GDAL's complaints into a reject, or into the storage's fault behind them."""
        from rasterio.errors import RasterioError

        try:
            yield
        except RasterioError as error:
            if self._faults:
                raise self._faults[0] from error
            message = "a TIFF that GDAL finds broken or cut off"
            raise RejectError(RejectCode.UNREADABLE, message) from error
        if self._faults:  # GDAL made do with what it got
            raise self._faults[0]


class _Noted(io.FileIO):
    """A file that keeps its faults: raised through GDAL they would be lost, or do harm."""

    def __init__(self, path: str, faults: list[OSError]) -> None:
        super().__init__(path)
        self._faults = faults

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(-1 if size is None else size) or b""
        except OSError as error:
            self._faults.append(error)
            return b""


def _palette(dataset: "rasterio.DatasetReader") -> NDArray[np.uint8]:
    colors = np.zeros((65536, 3), np.uint8)
    for index, color in dataset.colormap(1).items():
        colors[index] = color[:3]
    return colors


def _require_no(problem: str | None) -> None:
    if problem is not None:
        raise RejectError(RejectCode.UNSUPPORTED_FORMAT, problem)
