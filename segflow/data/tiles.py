"""Where --resize tile cuts: windows of one size over a picture, at native scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

EdgeRule = Literal["pad", "shift", "drop"]


@dataclass(frozen=True)
class TileConfig:
    """How --resize tile cuts images."""

    overlap: int = 0
    """Pixels that neighbouring tiles have in common, down and across."""
    edge: EdgeRule = "pad"
    """The last tile of a row or column, if it would reach over the edge: pad what is missing
    (ignored in the mask), shift the tile inward, or drop it. A picture that is smaller than a
    tile is padded in any case."""


@dataclass(frozen=True)
class Tile:
    """A tile's place: number of its row and column, from 0, and its top left pixel."""

    row: int
    column: int
    top: int
    left: int

    def key(self, source: str) -> str:
        """The key of the tile of a picture: `KEY@r0003c0012`."""
        return f"{source}@r{self.row:04d}c{self.column:04d}"


@dataclass(frozen=True)
class Grid:
    """The tiles of a picture.

    Attributes:
        tops: First pixel of each row of tiles.
        lefts: First pixel of each column.
    """

    tops: Sequence[int]
    lefts: Sequence[int]

    @classmethod
    def over(cls, source: tuple[int, int], size: tuple[int, int], config: TileConfig) -> "Grid":
        """Tiles of `size` (height, width) over a picture of `source`."""
        tops, lefts = (
            starts(length, tile, config.overlap, config.edge)
            for length, tile in zip(source, size, strict=True)
        )
        return cls(tops, lefts)

    @property
    def count(self) -> int:
        """How many tiles there are."""
        return len(self.tops) * len(self.lefts)


def rows_of(row: Mapping[str, Any], grid: Grid) -> range:
    """The rows of tiles that a row of the plan stands for; without a band, all."""
    first = row.get("first_tile_row")
    return range(len(grid.tops)) if first is None else range(first, first + row["tile_rows"])


def starts(length: int, tile: int, overlap: int, edge: EdgeRule) -> Sequence[int]:
    """First pixel of each tile along a side of `length` pixels.

    With `pad` the last tile may reach over the edge; with `shift` it ends there, and so overlaps
    the one before by more; with `drop` it is left out. The first tile always stays, so that every
    picture has one.
    """
    step, rest = tile - overlap, max(0, length - tile)
    whole = range(0, rest + 1, step)
    if edge == "drop" or whole[-1] == rest or length <= tile:
        return whole
    if edge == "pad":
        return range(0, whole[-1] + step + 1, step)
    return [*whole, rest]
