"""Giant pictures in the plan: cut into bands of rows of tiles, so that no shard grows with them."""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from segflow import hashing
from segflow.data import contained, tiff
from segflow.data.config import DecodeLimits, ExampleConfig
from segflow.data.decode import read_bytes
from segflow.data.tiles import Grid
from segflow.errors import RejectError
from segflow.jobs.plan import ROWS_AT_ONCE

_THREADS = 4  # they wait for the storage more than they compute; each may hold a whole file
_START = 1 << 16  # bytes

_COLUMNS = (
    pa.field("planned_sha256", pa.string()),
    pa.field("first_tile_row", pa.int64()),
    pa.field("tile_rows", pa.int64()),
    pa.field("examples", pa.int64()),
)


@dataclass(frozen=True)
class BandCutter:
    """Adds to a plan's rows how many examples they make; what is read by window is cut up.

    Attributes:
        config: How tiles are made.
        tiles_per_shard: By split: more than that and a row of the plan is cut, between two rows
            of tiles.
    """

    config: ExampleConfig
    tiles_per_shard: Callable[[str], int]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows in order, each as one or several."""
        with contextlib.closing(contained), ThreadPoolExecutor(_THREADS) as pool:
            for batch in batches:
                schema = pa.schema([*batch.schema, *_COLUMNS])
                rows = itertools.chain.from_iterable(pool.map(self._cut, batch.to_pylist()))
                while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
                    yield pa.RecordBatch.from_pylist(some, schema=schema)

    def _cut(self, row: dict[str, Any]) -> Iterable[dict[str, Any]]:
        whole: dict[str, Any] = {field.name: None for field in _COLUMNS} | {"examples": 1}
        if row["code"] is not None or row.get("image_part"):
            return [row | whole]
        path, size = row["image_uri"], self.config.size
        header = tiff.windowed_header(path, self.config.limits)
        if header is None:
            grid = Grid.over(_size(path, self.config.limits) or size, size, self.config.tile)
            return [row | whole | {"examples": grid.count}]
        grid = Grid.over((header.height, header.width), size, self.config.tile)
        step = max(1, self.tiles_per_shard(row["shard_group"]) // len(grid.lefts))
        return _bands(row | {"planned_sha256": hashing.sha256_file(path)}, grid, step)


def _bands(row: Mapping[str, Any], grid: Grid, step: int) -> Iterator[dict[str, Any]]:
    """The row in bands of `step` rows of tiles, one after another: a giant may have thousands."""
    rows = len(grid.tops)
    for first in range(0, rows, step):
        count = min(step, rows - first)
        yield {
            **row,
            "weight": math.ceil(row["weight"] * count / rows),
            "first_tile_row": first,
            "tile_rows": count,
            "examples": count * len(grid.lefts),
        }


def _size(path: str, limits: DecodeLimits) -> tuple[int, int] | None:
    """(height, width) by the header, which decides how full a shard gets, and nothing else.

    Most formats tell it in their first bytes; WebP and AVIF are read whole.
    """
    try:
        with Path(path).open("rb") as file:
            if header := tiff.read_header(file):
                size = header.height, header.width
                return size if math.prod(size) <= limits.max_pixels else None
            file.seek(0)
            start = file.read(_START)
        with contextlib.suppress(RejectError):
            return contained.image_size(start, limits)
        is_whole = len(start) < _START
        return None if is_whole else contained.image_size(read_bytes(path, limits), limits)
    except (OSError, RejectError):  # why it cannot be read is said by the worker that tries
        return None
