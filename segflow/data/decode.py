"""Decoding of images: an allow-list of formats, caps read from the header, orientation applied."""

import errno
import io
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from segflow.data import contained, geotiff, tiff
from segflow.data.config import DecodeLimits
from segflow.data.depth import to_8_bits
from segflow.data.reading import AS_SHOWN, ReadingConfig
from segflow.errors import RejectCode, RejectError

# Pillow's names. MPO is what Pillow calls a JPEG that holds several pictures.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF")

# Those whose several pictures are meant to be seen one after another.
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")

# No later try will find these otherwise; any other failure of the storage may pass, so it raises.
PERMANENT_ERRORS = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
        *(errno.ELOOP, errno.ENAMETOOLONG),
    )
)

# What undoes an EXIF orientation. ImageOps.exif_transpose does the same, but then writes the EXIF
# data anew and so fails on a sound picture for the sake of any damaged tag.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_bytes(path: str | Path, limits: DecodeLimits) -> bytes:
    """The file's bytes.

    Raises:
        RejectError: It is gone, no regular file, or larger than the cap.
        OSError: The storage failed in a way that may pass.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise RejectError(RejectCode.UNREADABLE, "cannot be opened: no regular file")
        with path.open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    except OSError as error:
        if error.errno not in PERMANENT_ERRORS:
            raise
        raise RejectError(RejectCode.UNREADABLE, f"cannot be opened: {error.strerror}") from error
    if len(data) > limits.max_bytes:
        raise RejectError(
            RejectCode.TOO_LARGE, f"over the cap of {limits.max_bytes} bytes (--limits.max-bytes)"
        )
    return data


def open_image(data: bytes, limits: DecodeLimits) -> Image.Image:
    """Opens the first frame from its header; pixels are not decoded yet.

    Raises:
        RejectError: No image, a format off the allow-list, or more pixels than the cap.
    """
    if not data:
        raise RejectError(RejectCode.UNREADABLE, "the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise RejectError(RejectCode.TOO_LARGE, str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # plugins raise whatever a damaged header leads them to
        if other := _other_format(data):
            raise RejectError(
                RejectCode.UNSUPPORTED_FORMAT,
                f"{other} is not supported; expected one of {', '.join(FORMATS)}",
            ) from error
        raise RejectError(RejectCode.UNREADABLE, "not an image, or its header is broken") from error
    _require_pixels(*image.size, limits)
    if image.format == "BMP":
        _require_depth_as_read(image, data)
    return image


def load(image: Image.Image) -> Image.Image:
    """Decodes the pixels and applies the EXIF orientation.

    Raises:
        RejectError: The data is broken or cut off.
    """
    try:
        image.load()
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return image if method is None else image.transpose(method)
    except Image.DecompressionBombError as error:
        raise RejectError(RejectCode.TOO_LARGE, str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # plugins raise whatever broken data leads them to
        why = str(error) or type(error).__name__
        raise RejectError(RejectCode.UNREADABLE, f"broken or cut off: {why}") from error


def decode_rgb(
    data: bytes, limits: DecodeLimits, reading: ReadingConfig = AS_SHOWN
) -> NDArray[np.uint8]:
    """Decodes an image file to RGB as a viewer would show it, transparency left out.

    Returns:
        uint8 [height, width, 3], orientation applied.

    Raises:
        RejectError: See `open_image` and `load`; also pixels that are not integers, an animation
            that is not wanted, and bands that are not there.
    """
    header = tiff.read_header(io.BytesIO(data)) if tiff.is_tiff(data) else None
    if header is not None and _needs_bands(header, data, limits, reading):
        _require_pixels(header.width, header.height, limits)
        return geotiff.decode_rgb(data, header, reading)
    image = open_image(data, limits)
    if reading.frames == "reject":
        _require_still(image)
    image = load(image)
    if image.mode == "F":
        raise RejectError(
            RejectCode.UNSUPPORTED_FORMAT, "floating-point pixels; expected 8 or 16 bit integers"
        )
    if image.mode.startswith("I"):
        return np.repeat(_grey_to_8_bits(np.asarray(image), reading)[..., None], 3, axis=2)
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB would warn about the transparency
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # spares a copy


def _needs_bands(
    header: tiff.TiffHeader, data: bytes, limits: DecodeLimits, reading: ReadingConfig
) -> bool:
    """Whether a TIFF is read band by band: on demand, and where Pillow knows no such pixels."""
    if reading.bands is not None or (header.bits == 16 and reading.has_value_range):
        return True
    try:
        open_image(data, limits)
    except RejectError as error:
        return error.code == RejectCode.UNREADABLE and header.has_bands
    return False


def read_rgb(path: str | Path, limits: DecodeLimits | None = None) -> NDArray[np.uint8]:
    """Reads an image file to RGB, uint8 [height, width, 3], orientation applied.

    Raises:
        RejectError: It cannot be read, with the code that ingest would give.
    """
    limits = limits or DecodeLimits()
    return contained.decode_rgb(read_bytes(path, limits), limits)


def _require_pixels(width: int, height: int, limits: DecodeLimits) -> None:
    if width * height > limits.max_pixels:
        raise RejectError(
            RejectCode.TOO_LARGE,
            f"{width} x {height} pixels by its header, over the cap of {limits.max_pixels} "
            "(--limits.max-pixels)",
        )


def _require_still(image: Image.Image) -> None:
    try:
        moves = image.format in _ANIMATED and getattr(image, "is_animated", False)
    except Exception as error:  # looking for a second frame reads on into broken data
        raise RejectError(RejectCode.UNREADABLE, "broken or cut off") from error
    if moves:
        raise RejectError(
            RejectCode.UNSUPPORTED_FORMAT, f"an animated {image.format} (--frames reject)"
        )


def _require_depth_as_read(image: Image.Image, data: bytes) -> None:
    """Refuses a BMP that Pillow misreads.

    It takes a grey palette's length for the depth: with a palette of black and white it reads
    one bit a pixel, with a ramp of any length eight, whatever the header says.
    """
    start = 24 if data[14] == 12 else 28  # the older header is shorter
    depth = int.from_bytes(data[start : start + 2], "little")
    if image.mode in ("1", "L") and depth != {"1": 1, "L": 8}[image.mode]:
        raise RejectError(
            RejectCode.UNSUPPORTED_FORMAT,
            f"a BMP of {depth} bits a pixel with a short grey palette; save it as PNG",
        )


def _grey_to_8_bits(values: NDArray[Any], reading: ReadingConfig) -> NDArray[np.uint8]:
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 65535:
        raise RejectError(
            RejectCode.UNSUPPORTED_FORMAT,
            f"grey values {int(values.min())} to {int(values.max())}; expected 0 to 65535",
        )
    return to_8_bits(values, reading.values)


def _other_format(data: bytes) -> str | None:
    """The format that another of Pillow's plugins recognises by its first bytes, if any."""
    Image.init()
    for name in sorted(Image.OPEN):
        accept = Image.OPEN[name][1]
        if name not in FORMATS and accept is not None:
            try:
                if accept(data[:16]):
                    return name
            except Exception:  # an accept function of another plugin may trip over short data
                continue
    return None
