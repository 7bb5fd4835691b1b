"""What a row of the plan becomes before it is encoded: one pair, or tile after tile of it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import hashing
from segflow.data import geotiff
from segflow.data.bands import rows_of, windowed_header
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
from segflow.data.tiles import Grid, Tile
from segflow.label_map import LabelMap


@dataclass(frozen=True)
class Piece:
    """A pair that becomes a stored example, and its copies.

    Attributes:
        key: Of the example.
        pair: The whole picture, or what of it the tile covers.
        source: (height, width) of the whole picture.
        tile: Where it lies; None: it is the whole.
    """

    key: str
    pair: Pair
    source: tuple[int, int]
    tile: Tile | None = None


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
    yield Piece(row["key"], pair, (pair.image.shape[0], pair.image.shape[1]))


@dataclass(frozen=True)
class _Picture:
    """An image or a mask that is read by rows.

    Attributes:
        what: `image` or `mask`, for messages.
        size: (height, width).
        read: The stored values of so many rows from a first one on, [rows, width, …].
        finish: Makes RGB or ids of a part of them.
    """

    what: str
    size: tuple[int, int]
    read: Callable[[int, int], NDArray[Any]]
    finish: Callable[[NDArray[Any]], NDArray[Any]]

    def parts(
        self, top: int, size: tuple[int, int], lefts: Iterator[int]
    ) -> Iterator[NDArray[Any]]:
        """Windows of at most `size` (height, width), side by side from each of `lefts`."""
        count = min(size[0], self.size[0] - top)
        values = about(self.what, lambda: self.read(top, count))
        for left in lefts:
            yield about(self.what, lambda: self.finish(values[:, left : left + size[1]]))  # noqa: B023


def _read_tiles(
    row: Mapping[str, Any], label_map: LabelMap, config: ExampleConfig
) -> Iterator[Piece]:
    with contextlib.ExitStack() as stack:
        image, sha256, resolution = _open_image(row, config, stack)
        mask = _open_mask(row, image.size, label_map, config, stack)
        require_equal_sizes(image.size, mask.size)
        grid = Grid.over(image.size, config.size, config.tile)
        for number in rows_of(row, grid):
            top = grid.tops[number]
            images = image.parts(top, config.size, iter(grid.lefts))
            masks = mask.parts(top, config.size, iter(grid.lefts))
            for column, (rgb, ids) in enumerate(zip(images, masks, strict=True)):
                tile = Tile(number, column, top, grid.lefts[column])
                pair = Pair(rgb, ids, sha256, resolution)
                yield Piece(tile.key(row["key"]), pair, image.size, tile)
    for what in ("image", "mask"):
        require_unchanged(row, what)  # nor while it was read


def _open_image(
    row: Mapping[str, Any], config: ExampleConfig, stack: contextlib.ExitStack
) -> tuple[_Picture, str, float | None]:
    """The image, the SHA-256 of its file, and its ground resolution."""
    path = row["image_uri"]
    require_unchanged(row, "image")
    header = windowed_header(path, config.limits)
    if header is None:
        image, sha256, resolution = read_image(row, config.limits, config)
        return _in_memory("image", image), sha256, resolution
    raster = about("image", lambda: stack.enter_context(geotiff.opened_image(path, header, config)))
    sha256 = row.get("image_sha256") or hashing.sha256_file(path)
    resolution = geotiff.ground_resolution(path) if header.is_georeferenced else None
    return _Picture("image", raster.size, raster.rows, raster.to_rgb), sha256, resolution


def _open_mask(
    row: Mapping[str, Any],
    image_size: tuple[int, int],
    label_map: LabelMap,
    config: ExampleConfig,
    stack: contextlib.ExitStack,
) -> _Picture:
    path = row["mask_uri"]
    require_unchanged(row, "mask")
    header = None if row.get("annotation") else windowed_header(path, config.limits)
    if header is None:
        return _in_memory("mask", read_mask(row, image_size, label_map, config.limits))
    raster = about("mask", lambda: stack.enter_context(geotiff.opened_mask(path, header)))

    def to_ids(values: NDArray[Any]) -> NDArray[Any]:
        return raw_to_ids(values[..., 0] if values.shape[2] == 1 else values, label_map)

    return _Picture("mask", raster.size, raster.rows, to_ids)


def _in_memory(what: str, pixels: NDArray[Any]) -> _Picture:
    size = (pixels.shape[0], pixels.shape[1])
    return _Picture(what, size, lambda top, count: pixels[top : top + count], np.asarray)
