"""Masks: from a file of indices, palette indices or colours to exact class ids."""

import functools
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from segflow.data.config import DecodeLimits
from segflow.data.decode import load, open_image
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelMap

_LISTED_VALUES = 12  # unknown values that a message names
_LOSSY_TIFFS = ("jpeg", "tiff_jpeg", "webp", "tiff_sgilog", "tiff_sgilog24")  # Pillow's names


def raw_to_ids(raw: NDArray[Any], label_map: LabelMap) -> NDArray[Any]:
    """Maps source values [height, width] or colours [height, width, 3] to class ids.

    Returns:
        uint8 or uint16 (`label_map.dtype`) [height, width]; every value is a class id or the
        ignore id.

    Raises:
        RejectError: `unknown_label` with what no class claims.
    """
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
    scale = _grey_scale(image)
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
    """Maps source values to class ids by the label map, or by its threshold.

    Raises:
        RejectError: `unknown_label` with the values that no class claims.
    """
    if label_map.threshold is not None:
        ids = (values >= label_map.threshold).astype(label_map.dtype)
        ids[np.isin(values, label_map.ignore_raw_ids)] = label_map.ignore_id
        return ids
    return look_up(values, label_map.raw_to_id, label_map, "values", str)


def colors_to_ids(colors: NDArray[np.uint8], label_map: LabelMap) -> NDArray[Any]:
    """Maps colours, uint8 [height, width, 3], to class ids by exact match.

    Grey throughout, and with a label map that has no colours or a threshold, they are values.

    Raises:
        RejectError: `unknown_label` with the colours that no class has, and the nearest ones.
    """
    known = {_pack_one(color): class_id for color, class_id in label_map.color_to_id.items()}
    by_value = not known or label_map.threshold is not None
    if by_value and (colors == colors[..., :1]).all():
        return values_to_ids(colors[..., 0], label_map)
    name = functools.partial(_color_with_nearest, label_map)
    return look_up(pack_colors(colors), known, label_map, "colours", name)


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


def _color_name(packed: int) -> str:
    return f"rgb({packed >> 16},{packed >> 8 & 255},{packed & 255})"


def _color_with_nearest(label_map: LabelMap, packed: int) -> str:
    """A colour and the class whose colour is nearest in RGB: mostly, it was saved with loss."""
    color = np.array([packed >> 16, packed >> 8 & 255, packed & 255])
    known = [(c.name, c.color) for c in label_map.classes if c.color]
    known += [("ignored", color) for color in label_map.ignore_colors]
    if not known:
        return _color_name(packed)
    name, nearest = min(known, key=lambda entry: int(((color - np.array(entry[1])) ** 2).sum()))
    return f"{_color_name(packed)} (nearest: {name} {_color_name(_pack_one(nearest))})"


def look_up(
    values: NDArray[Any],
    known: Mapping[int, int],
    label_map: LabelMap,
    what: str,
    name: Callable[[int], str] = str,
) -> NDArray[Any]:
    """Maps values [height, width] to ids by the table `known`.

    Args:
        values: Integers.
        known: Value to class id or ignore id.
        label_map: Decides the dtype of the result.
        what: What messages call the values.
        name: How messages write one.

    Raises:
        RejectError: `unknown_label` with the values that are not in the table.
    """
    # A table is several times as fast as sorting.
    shallow = values.dtype in (np.uint8, np.uint16)
    found = np.flatnonzero(np.bincount(values.ravel())) if shallow else np.unique(values)
    unknown = [v for v in found.tolist() if v not in known]
    if unknown:
        names = list(map(name, unknown[:_LISTED_VALUES]))
        pixels = int(np.isin(values, unknown).sum())
        raise _unknown(what, names, len(unknown), f"{pixels} of {values.size} pixels", label_map)
    ids = np.array([known[v] for v in found.tolist()], label_map.dtype)
    if not shallow:
        return ids[np.searchsorted(found, values)]
    table = np.zeros(found[-1] + 1, label_map.dtype)
    table[found] = ids
    return table[values]


def _unknown(
    what: str, names: list[str], count: int, pixels: str, label_map: LabelMap
) -> RejectError:
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return RejectError(
        RejectCode.UNKNOWN_LABEL,
        f"{what} that no class claims: {', '.join(names)}{more} ({pixels}); the label map has "
        f"{label_map.num_classes} classes and ignores {label_map.ignore_id}",
    )


def _require_lossless(image: Image.Image, data: bytes) -> None:
    lossy = (
        image.format in ("JPEG", "MPO", "JPEG2000", "AVIF")
        or (image.format == "WEBP" and not _is_lossless_webp(data))
        or (image.format == "TIFF" and image.info.get("compression") in _LOSSY_TIFFS)
    )
    if lossy:
        raise RejectError(
            RejectCode.LOSSY_MASK,
            f"a {image.format} mask may have lost its exact values; save masks as PNG",
        )


def _is_lossless_webp(data: bytes) -> bool:
    """Whether the first frame's pixels lie in a chunk `VP8L`, as WebP's container calls it."""
    position = 12
    while position + 8 <= len(data):
        kind = data[position : position + 4]
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        # A frame's own chunks lie inside it, behind 16 bytes; others are skipped, padded to even.
        position += 8 + (16 if kind == b"ANMF" else size + size % 2)
    return False


def _grey_scale(image: Image.Image) -> int:
    """By what Pillow multiplies the grey values of this file; it widens shallow ones to 8 bits.

    Raises:
        RejectError: Pillow would change the values in a way that cannot be undone.
    """
    scale = 1
    for tile in image.tile if isinstance(image, ImageFile.ImageFile) else ():
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        stored, depth = _raw_mode(args[0])
        largest = args[1] if tile.codec_name in ("ppm", "ppm_plain") and len(args) > 1 else None
        changed = (
            depth.endswith("I")  # white is zero: Pillow inverts
            or (image.mode[0] != "I" and depth.startswith(("15", "16")))  # cut to 8 bits
            or largest not in (None, 65535 if image.mode == "I" else 255)  # scaled to these
        )
        if changed or _is_signed_tiff(image):
            raise RejectError(
                RejectCode.UNSUPPORTED_FORMAT,
                f"a {image.format} mask of {args[0]} values, which cannot be read exactly; save "
                "masks as PNG of one channel",
            )
        if stored == "L" and depth in ("2", "4"):
            scale = 255 // (2 ** int(depth) - 1)
    return scale


def _raw_mode(name: Any) -> tuple[str, str]:
    """Channels and depth of one of Pillow's raw modes; `L;4R` is grey, 4 bits, bits reversed."""
    channels, _, depth = str(name).partition(";")
    return channels, depth.removesuffix("R")


def _is_signed_tiff(image: Image.Image) -> bool:
    """Whether Pillow would wrap negative values: it reads signed 8 bits as unsigned."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.mode != "L":
        return False
    return 2 in image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, ())
