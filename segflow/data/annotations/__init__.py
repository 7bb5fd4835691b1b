"""Masks that are no plain files of values: drawn from annotations, or coded otherwise.

A row of the plan carries, as a string of JSON, what makes the mask of its image:

- a `Drawing`: objects to draw, one over another; no file is read,
- `PANOPTIC`: the mask file holds segment ids, the annotation says what class each is of,
- `ADE20K`: the mask file holds classes in ADE20K's full code,
- `LABELME`: the mask file is LabelMe's JSON.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import contained
from segflow.data.annotations import labelme
from segflow.data.annotations.drawing import Drawing
from segflow.data.config import DecodeLimits
from segflow.data.masks import look_up, values_to_ids
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelMap

__all__ = [
    "ADE20K",
    "LABELME",
    "Drawing",
    "MaskSource",
    "is_of_values",
    "mask_of",
    "panoptic",
    "raw_values",
]

ADE20K = '{"kind":"ade20k"}'
LABELME = '{"kind":"labelme"}'


@dataclass(frozen=True)
class MaskSource:
    """What a mask is made from besides its annotation.

    Attributes:
        read: Reads the mask's file.
        image_size: (height, width) of the image, orientation applied.
        label_map: The classes.
        limits: Caps.
    """

    read: Callable[[], bytes]
    image_size: tuple[int, int]
    label_map: LabelMap
    limits: DecodeLimits


def panoptic(segments: Mapping[int, int]) -> str:
    """The annotation of a panoptic PNG: segment id to source value of its class."""
    return json.dumps(
        {"kind": "panoptic", "segments": {str(k): v for k, v in segments.items()}},
        separators=(",", ":"),
    )


def mask_of(annotation: str, source: MaskSource) -> NDArray[Any]:
    """Makes the mask that an annotation describes.

    Returns:
        uint8 or uint16 (`label_map.dtype`) [height, width]; every value is a class id or the
        ignore id.

    Raises:
        RejectError: Broken, impossible or too large, or a label that no class claims.
    """
    data = json.loads(annotation)
    match data["kind"]:
        case "panoptic":
            return _panoptic_mask(data["segments"], source)
        case "ade20k":
            return values_to_ids(raw_values(source.read(), source.limits), source.label_map)
        case "labelme":
            drawing = labelme.parse(source.read())
        case _:
            drawing = Drawing.from_dict(data)
    return drawing.draw(source.image_size, source.label_map, source.limits)


def is_of_values(annotation: str) -> bool:
    """Whether the mask's file holds source values that `raw_values` reads."""
    return annotation == ADE20K


def raw_values(data: bytes, limits: DecodeLimits) -> NDArray[np.int32]:
    """Class indices, int32 [height, width], of ADE20K's full annotation: R // 10 * 256 + G.

    Raises:
        RejectError: Not readable, or not in colour.
    """
    colors = _colors(data, limits).astype(np.int32)
    values: NDArray[np.int32] = colors[..., 0] // 10 * 256 + colors[..., 1]
    return values


def _panoptic_mask(segments: Mapping[str, int], source: MaskSource) -> NDArray[Any]:
    """Ids are R + 256 G + 65536 B (Kirillov et al. 2019); 0 is void, which does not count."""
    colors = _colors(source.read(), source.limits).astype(np.int32)
    values = colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]
    label_map = source.label_map
    unknown = sorted({v for v in segments.values() if v not in label_map.raw_to_id})
    if unknown:
        raise RejectError(
            RejectCode.UNKNOWN_LABEL,
            f"categories that no class claims: {', '.join(map(str, unknown))}",
        )
    known = {int(key): label_map.raw_to_id[value] for key, value in segments.items()}
    return look_up(values, {0: label_map.ignore_id} | known, label_map, "segment ids")


def _colors(data: bytes, limits: DecodeLimits) -> NDArray[np.uint8]:
    colors = contained.decode_raw_mask(data, limits)
    if colors.ndim != 3:
        raise RejectError(RejectCode.UNSUPPORTED_FORMAT, "expected an RGB file, found one channel")
    return colors
