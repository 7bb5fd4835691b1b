"""What a row of the plan becomes before it is encoded: one pair, or tile after tile of it."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import contained
from segflow.data.by_rows import open_by_rows
from segflow.data.config import ExampleConfig
from segflow.data.masks import raw_to_ids
from segflow.data.pair import (
    Pair,
    about,
    read_image,
    read_mask,
    read_pair,
    require_equal_sizes,
    require_unchanged,
)
from segflow.data.tiff import windowed_header
from segflow.data.tiles import Grid, Tile, rows_of
from segflow.label_map import LabelMap


@dataclass(frozen=True)
class Piece:
    """A pair that becomes a stored example, and its copies.

    Attributes:
        key: Of the example.
        pair: The whole picture, or what of it the tile covers.
        source: (height, width) of the whole picture.
        tile: Where it lies; None: it is the whole.
        whole: The whole image, uint8 [height, width, 3], where it is in memory.
    """

    key: str
    pair: Pair
    source: tuple[int, int]
    tile: Tile | None = None
    whole: NDArray[np.uint8] | None = None


def read_pieces(
    row: Mapping[str, Any], label_map: LabelMap, config: ExampleConfig
) -> Iterator[Piece]:
    """Reads what a row of the plan addresses.

    Of a picture that is read by window, one row of tiles is in memory at a time.

    Raises:
        RejectError: With the contract's code, possibly when some tiles have come already.
    """
    if config.resize == "tile":
        yield from _read_tiles(row, label_map, config)
        return
    pair = read_pair(row, label_map, config.limits, config)
    size = (pair.image.shape[0], pair.image.shape[1])
    yield Piece(row["key"], pair, size, whole=pair.image)


@dataclass(frozen=True)
class _Picture:
    """An image or a mask that is read by rows.

    Attributes:
        what: `image` or `mask`, for messages.
        size: (height, width).
        read: The pixels of so many rows from a first one on, [rows, width, …].
        finish: Makes RGB or ids of a part of them; small parts, for what it takes in memory.
        whole: All pixels, where they are in memory.
    """

    what: str
    size: tuple[int, int]
    read: Callable[[int, int], NDArray[Any]]
    finish: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray
    whole: NDArray[Any] | None = None

    def parts(
        self, top: int, size: tuple[int, int], lefts: Sequence[int]
    ) -> Iterator[NDArray[Any]]:
        """Windows of at most `size` (height, width), side by side from each of `lefts`."""
        count = min(size[0], self.size[0] - top)
        rows = about(self.what, lambda: self.read(top, count))
        for left in lefts:
            part = rows[:, left : left + size[1]]
            yield about(self.what, functools.partial(self.finish, part))


def _read_tiles(
    row: Mapping[str, Any], label_map: LabelMap, config: ExampleConfig
) -> Iterator[Piece]:
    image, about_image = _open_image(row, config)
    mask = _open_mask(row, image.size, label_map, config)
    by_window = [picture.what for picture in (image, mask) if picture.whole is None]
    for what in by_window:
        require_unchanged(row, what)
    require_equal_sizes(image.size, mask.size)
    grid = Grid.over(image.size, config.size, config.tile)
    for number in rows_of(row, grid):
        top = grid.tops[number]
        images = image.parts(top, config.size, grid.lefts)
        masks = mask.parts(top, config.size, grid.lefts)
        for column, (rgb, ids) in enumerate(zip(images, masks, strict=True)):
            tile = Tile(number, column, top, grid.lefts[column])
            pair = replace(about_image, image=rgb, mask=ids)
            yield Piece(tile.key(row["key"]), pair, image.size, tile, image.whole)
    for what in by_window:
        require_unchanged(row, what)  # nor while it was read


def _open_image(row: Mapping[str, Any], config: ExampleConfig) -> tuple[_Picture, Pair]:
    """The image, and what is known of its file, as a pair without pixels."""
    by_rows = open_by_rows(row, config.limits, config)
    if by_rows is None:
        rgb, sha256, resolution = read_image(row, config.limits, config)
        image = _in_memory("image", rgb)
    else:
        sha256, resolution = by_rows.sha256, by_rows.ground_resolution
        image = _Picture("image", by_rows.size, by_rows.read)
    nothing = np.zeros((0, 0, 3), np.uint8)
    return image, Pair(nothing, nothing[..., 0], sha256, resolution)


def _open_mask(
    row: Mapping[str, Any], image_size: tuple[int, int], label_map: LabelMap, config: ExampleConfig
) -> _Picture:
    path, limits = row["mask_uri"], config.limits
    is_file = not any(row.get(name) for name in ("annotation", "mask_part", "mask_uris"))
    header = windowed_header(path, limits) if is_file else None
    if header is None:
        return _in_memory("mask", read_mask(row, image_size, label_map, limits))

    def read(top: int, count: int) -> NDArray[Any]:
        return contained.mask_rows(path, top, count, limits)

    size = (header.height, header.width)
    return _Picture("mask", size, read, lambda values: raw_to_ids(values, label_map))


def _in_memory(what: str, pixels: NDArray[Any]) -> _Picture:
    size = (pixels.shape[0], pixels.shape[1])
    return _Picture(what, size, lambda top, count: pixels[top : top + count], whole=pixels)
