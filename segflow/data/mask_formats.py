"""How labels are stored in a table's column: PNG or COCO run lengths of class ids."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from segflow.data import png, run_lengths
from segflow.data.config import LARGEST_DECODED
from segflow.errors import RejectCode, RejectError

MaskFormat = Literal["png", "rle", "none"]

_LARGEST_CELL = (1 << 31) - 1  # bytes; what a binary value of Parquet or Arrow holds
_PIXELS_AT_ONCE = 1 << 22  # of a band
_LONGEST_SHOWN = 4096  # pixels of a side


@dataclass(frozen=True)
class StoredMask:
    """A mask as the tables hold it.

    Attributes:
        size: (height, width) in pixels.
        pixels: How many each class has, by id, int64 [classes].
        format: How it is stored.
        data: PNG bytes; or JSON [{`class_id`, `size`, `counts`}, …], one COCO run-length mask
            (https://cocodataset.org/#format-results) for each class that there is; or None.
    """

    size: tuple[int, int]
    pixels: NDArray[np.int64]
    format: MaskFormat
    data: bytes | None


class MaskWriter:
    """Takes a mask as rows from top to bottom, of which only what is stored is kept.

    Args:
        size: (height, width) in pixels.
        dtype: Of the class ids, uint8 or uint16.
        classes: Number of classes.
        mask_format: How to store it.
    """

    def __init__(
        self, size: tuple[int, int], dtype: DTypeLike, classes: int, mask_format: MaskFormat
    ) -> None:
        self._size, self._format = size, mask_format
        self._pixels = np.zeros(classes, np.int64)
        self._encoder: png.PngWriter | run_lengths.RunLengthWriter | None = None
        if mask_format == "png":
            self._encoder = png.PngWriter(size, dtype)
        elif mask_format == "rle":
            self._encoder = run_lengths.RunLengthWriter(size)

    def add(self, rows: NDArray[Any]) -> None:
        """Takes the next rows, class ids [n, width]."""
        self._pixels += np.bincount(rows.ravel(), minlength=len(self._pixels))
        if self._encoder is not None:
            self._encoder.add(rows)

    def finish(self) -> StoredMask:
        """The mask, once all its rows are there.

        Raises:
            RejectError: It is larger than what a table can hold.
        """
        data = None if self._encoder is None else self._encoder.finish()
        if data is not None and len(data) > _LARGEST_CELL:
            raise RejectError(
                RejectCode.TOO_LARGE,
                f"its mask takes {len(data)} bytes as {self._format}, and no table holds more "
                f"than {_LARGEST_CELL} in one place; label it with --mask-format none",
            )
        return StoredMask(self._size, self._pixels, self._format, data)


def store(mask: NDArray[Any], classes: int, mask_format: MaskFormat) -> StoredMask:
    """Stores class ids, uint8 or uint16 [height, width], that are all there."""
    writer = MaskWriter((mask.shape[0], mask.shape[1]), mask.dtype, classes, mask_format)
    writer.add(mask)
    return writer.finish()


def decode(data: bytes, mask_format: MaskFormat) -> NDArray[Any]:
    """The class ids [height, width] of a stored mask that is no giant's."""
    if mask_format == "png":
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image)
    from pycocotools import mask as coco

    entries = json.loads(data)
    mask = np.zeros(entries[0]["size"], np.uint16)
    for entry in entries:
        rle = {"size": entry["size"], "counts": entry["counts"].encode("ascii")}
        mask[coco.decode(rle) == 1] = entry["class_id"]
    return mask


def bands(data: bytes, mask_format: MaskFormat) -> Iterator[NDArray[Any]]:
    """The class ids of a stored mask as rows from top to bottom, of moderate size each.

    A giant's are decoded one by one. Masks of one size come in equal bands, however they are
    stored.
    """
    height, width = size_of(data, mask_format)
    rows = max(1, _PIXELS_AT_ONCE // width)
    if height * width <= LARGEST_DECODED:
        mask = decode(data, mask_format)
        yield from (mask[top : top + rows] for top in range(0, height, rows))
    elif mask_format == "png":
        yield from png.read_bands(data, rows)
    else:
        yield from run_lengths.read_bands(json.loads(data), rows)


def size_of(data: bytes, mask_format: MaskFormat) -> tuple[int, int]:
    """(height, width) of a stored mask."""
    if mask_format == "png":
        return png.size_of(data)
    height, width = json.loads(data)[0]["size"]
    return height, width


def decode_to_show(data: bytes, mask_format: MaskFormat) -> NDArray[Any]:
    """The class ids [height, width] of a stored mask; of a giant's, pixels at equal distances."""
    height, width = size_of(data, mask_format)
    step = -(-max(height, width) // _LONGEST_SHOWN) if height * width > LARGEST_DECODED else 1
    parts, top = [], 0
    for band in bands(data, mask_format):
        parts.append(band[-top % step :: step, ::step])
        top += len(band)
    return np.concatenate(parts)
