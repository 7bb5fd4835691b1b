"""Masks: from a file of indices, palette indices or colours to exact class ids."""

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow.data.config import DecodeLimits
from segflow.data.decode import load, open_image
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelMap

_LISTED_VALUES = 12  # unknown values that a message names


def decode_mask(data: bytes, label_map: LabelMap, limits: DecodeLimits) -> NDArray[Any]:
    """Decodes a mask file to class ids.

    Returns:
        uint8 or uint16 (`label_map.dtype`) [height, width]; every value is a class id or the
        ignore id; orientation applied.

    Raises:
        RejectError: Not readable, lossy, too large, or a value that no class claims.
    """
    raw = decode_raw_mask(data, limits)
    return colors_to_ids(raw, label_map) if raw.ndim == 3 else values_to_ids(raw, label_map)


def decode_raw_mask(data: bytes, limits: DecodeLimits) -> NDArray[Any]:
    """Decodes a mask file to the values that stand in it.

    Returns:
        Integers [height, width] for grey, bilevel and palette files (palette: the indices), or
        uint8 [height, width, 3] for colour files.

    Raises:
        RejectError: Not readable, lossy, too large, or of a kind whose values Pillow changes.
    """
    image = open_image(data, limits)
    _require_lossless(image, data)
    scale = _grey_scale(image, data)
    image = load(image)
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image)[..., :3]
    if image.mode in ("LA", "PA"):
        return np.asarray(image)[..., 0]
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        values = np.asarray(image)
        return values.astype(np.uint8) if image.mode == "1" else values // scale
    raise RejectError(
        RejectCode.UNSUPPORTED_FORMAT,
        f"a mask of mode {image.mode}; expected grey, palette or RGB integers",
    )


def values_to_ids(values: NDArray[Any], label_map: LabelMap) -> NDArray[Any]:
    """Maps source values to class ids by the label map.

    Raises:
        RejectError: `unknown_label` with the values that no class claims.
    """
    found = np.unique(values)
    unknown = [int(v) for v in found if int(v) not in label_map.raw_to_id]
    if unknown:
        raise _unknown("values", unknown, int(np.isin(values, unknown).sum()), label_map)
    table = np.array([label_map.raw_to_id[int(v)] for v in found], label_map.dtype)
    return table[np.searchsorted(found, values)]


def colors_to_ids(colors: NDArray[np.uint8], label_map: LabelMap) -> NDArray[Any]:
    """Maps colours, uint8 [height, width, 3], to class ids by exact match.

    Raises:
        RejectError: `unknown_label` with the colours that no class has.
    """
    packed = pack_colors(colors)
    known = {_pack_one(c.color): c.id for c in label_map.classes if c.color is not None}
    found = np.unique(packed)
    unknown = [int(v) for v in found if int(v) not in known]
    if unknown:
        names = [f"rgb({v >> 16},{v >> 8 & 255},{v & 255})" for v in unknown]
        raise _unknown("colours", names, int(np.isin(packed, unknown).sum()), label_map)
    table = np.array([known[int(v)] for v in found], label_map.dtype)
    return table[np.searchsorted(found, packed)]


def pack_colors(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """One integer a pixel, 0xRRGGBB."""
    red, green, blue = (colors[..., i].astype(np.uint32) for i in range(3))
    return red << np.uint32(16) | green << np.uint32(8) | blue


def encode_mask(ids: NDArray[Any]) -> bytes:
    """PNG bytes of uint8 or uint16 ids [height, width], one channel of the same depth."""
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _pack_one(color: tuple[int, int, int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _unknown(what: str, unknown: list[Any], pixels: int, label_map: LabelMap) -> RejectError:
    more = f" and {len(unknown) - _LISTED_VALUES} more" if len(unknown) > _LISTED_VALUES else ""
    listed = ", ".join(map(str, unknown[:_LISTED_VALUES]))
    return RejectError(
        RejectCode.UNKNOWN_LABEL,
        f"{what} that no class claims: {listed}{more} ({pixels} pixels); the label map has "
        f"{label_map.num_classes} classes and ignores {label_map.ignore_id}",
    )


def _require_lossless(image: Image.Image, data: bytes) -> None:
    lossy = (
        image.format in ("JPEG", "MPO", "JPEG2000", "AVIF")
        or (image.format == "WEBP" and b"VP8L" not in data[12:64])
        or (image.format == "TIFF" and "jpeg" in str(image.info.get("compression")))
    )
    if lossy:
        raise RejectError(
            RejectCode.LOSSY_MASK,
            f"a {image.format} mask may have lost its exact values; save masks as PNG",
        )


def _grey_scale(image: Image.Image, data: bytes) -> int:
    """By what Pillow multiplies the grey values of this file; it widens shallow ones to 8 bits.

    Raises:
        RejectError: Pillow would change the values in a way that cannot be undone.
    """
    depth = 8
    if image.format == "PNG":  # IHDR: bit depth in byte 24, colour type in byte 25
        depth, color_type = data[24], data[25]
        if depth == 16 and color_type in (2, 4, 6):
            raise RejectError(
                RejectCode.UNSUPPORTED_FORMAT, "a 16-bit colour or alpha mask; save one channel"
            )
    elif image.format == "TIFF" and image.mode == "L":
        depth = image.tag_v2.get(258, (8,))[0]  # type: ignore[attr-defined]  # BitsPerSample
    elif image.format == "PPM" and image.mode in ("L", "I", "RGB"):
        header = re.match(rb"P[2356](?:\s+|#[^\n]*\n)+(?:\d+(?:\s+|#[^\n]*\n)+){2}(\d+)", data)
        if header is None or int(header[1]) not in (255, 65535):
            raise RejectError(
                RejectCode.UNSUPPORTED_FORMAT,
                "a PNM mask whose largest value is neither 255 nor 65535; save masks as PNG",
            )
    return 255 // (2**depth - 1) if image.mode == "L" and depth in (2, 4) else 1
