"""Images above the caps that are read by rows: TIFFs in tiles or strips."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import hashing
from segflow.data import contained
from segflow.data.config import DecodeLimits
from segflow.data.pair import about
from segflow.data.reading import ReadingConfig
from segflow.data.tiff import windowed_header

_MOST_TOGETHER = 128 << 20  # bytes of pixels; tiles may be as tall as the picture


@dataclass(frozen=True)
class ImageByRows:
    """An image whose pixels are read some rows at a time.

    Attributes:
        size: (height, width) in pixels.
        sha256: Of the file's bytes, in hex.
        ground_resolution: Side of a pixel in metres; None where the file does not say.
        block_rows: Rows that are best read together, as they are stored so: to read some of them
            decodes all. 1 where these are too many to hold.
        read: RGB, uint8 [count, width, 3], of so many rows from a first one on. Raises
            `RejectError` with the contract's code, or `OSError` if the storage failed in a way
            that may pass.
    """

    size: tuple[int, int]
    sha256: str
    ground_resolution: float | None
    block_rows: int
    read: Callable[[int, int], NDArray[np.uint8]]


def open_by_rows(
    row: Mapping[str, Any], limits: DecodeLimits, reading: ReadingConfig
) -> ImageByRows | None:
    """The image that a row of a plan addresses; None if it is read whole, or not at all.

    Raises:
        RejectError: Its place on the ground cannot be read.
        OSError: The storage failed in a way that may pass.
    """
    path = row["image_uri"]
    header = None if row.get("image_part") else windowed_header(path, limits)
    if header is None:
        return None

    def read(top: int, count: int) -> NDArray[np.uint8]:
        return about("image", lambda: contained.image_rows(path, top, count, limits, reading))

    together = header.block_rows * header.width * 3 <= _MOST_TOGETHER
    return ImageByRows(
        size=(header.height, header.width),
        sha256=row.get("planned_sha256") or hashing.sha256_file(path),
        ground_resolution=about("image", lambda: contained.ground_resolution(path, limits)),
        block_rows=header.block_rows if together else 1,
        read=read,
    )


class EachRowOnce:
    """The rows of an image, asked for from top to bottom: none is decoded twice.

    Windows below one another share rows, and what is stored together is decoded together; so
    whole blocks are read, and rows are kept while they may be asked for again.
    """

    def __init__(self, image: ImageByRows) -> None:
        self._image = image
        self._first = 0
        self._kept = np.empty((0, image.size[1], 3), np.uint8)

    def __call__(self, top: int, count: int) -> NDArray[np.uint8]:
        """Rows `top` to `top + count`, uint8 [count, width, 3]; `top` must never fall."""
        self._kept, self._first = self._kept[top - self._first :], top
        start = top + len(self._kept)
        if start < top + count:
            block = self._image.block_rows
            stop = min(self._image.size[0], -(-(top + count) // block) * block)
            self._kept = np.concatenate([self._kept, self._image.read(start, stop - start)])
        return self._kept[:count]
