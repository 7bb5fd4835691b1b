"""Decoding of images: an allow-list of formats, caps read from the header, orientation applied."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from segflow.data.config import DecodeLimits
from segflow.errors import RejectCode, RejectError

# Pillow's names. MPO is what Pillow calls a JPEG that holds several pictures.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF")


def read_bytes(path: str | Path, limits: DecodeLimits) -> bytes:
    """The file's bytes.

    Raises:
        RejectError: It is gone, empty, or larger than the cap.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
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
    except Exception as error:  # plugins raise whatever a damaged header leads them to
        if other := _other_format(data):
            raise RejectError(
                RejectCode.UNSUPPORTED_FORMAT,
                f"{other} is not supported; expected one of {', '.join(FORMATS)}",
            ) from error
        raise RejectError(RejectCode.UNREADABLE, "not an image, or its header is broken") from error
    width, height = image.size
    if width * height > limits.max_pixels:
        raise RejectError(
            RejectCode.TOO_LARGE,
            f"{width} x {height} pixels by its header, over the cap of {limits.max_pixels} "
            "(--limits.max-pixels)",
        )
    return image


def load(image: Image.Image) -> Image.Image:
    """Decodes the pixels and applies the EXIF orientation.

    Raises:
        RejectError: The data is broken or cut off.
    """
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        raise RejectError(RejectCode.TOO_LARGE, str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # plugins raise whatever broken data leads them to
        raise RejectError(RejectCode.UNREADABLE, f"broken or cut off: {error}") from error


def decode_rgb(data: bytes, limits: DecodeLimits) -> NDArray[np.uint8]:
    """Decodes an image file to RGB as a viewer would show it, transparency left out.

    Returns:
        uint8 [height, width, 3], orientation applied.

    Raises:
        RejectError: See `open_image` and `load`; also pixels that are not integers.
    """
    image = load(open_image(data, limits))
    if image.mode == "F":
        raise RejectError(
            RejectCode.UNSUPPORTED_FORMAT, "floating-point pixels; expected 8 or 16 bit integers"
        )
    if image.mode.startswith("I"):
        return np.repeat(_grey_to_8_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB would warn about the transparency
    return np.asarray(image.convert("RGB"))


def read_rgb(path: str | Path, limits: DecodeLimits | None = None) -> NDArray[np.uint8]:
    """Reads an image file to RGB, uint8 [height, width, 3], orientation applied.

    Raises:
        RejectError: It cannot be read, with the code that ingest would give.
    """
    limits = limits or DecodeLimits()
    return decode_rgb(read_bytes(path, limits), limits)


def _grey_to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scales 16-bit grey to 8 bits: 0 stays 0 and 65535 becomes 255."""
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 65535:
        raise RejectError(
            RejectCode.UNSUPPORTED_FORMAT,
            f"grey values {int(values.min())} to {int(values.max())}; expected 0 to 65535",
        )
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


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
