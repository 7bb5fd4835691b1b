"""Plans: rows in Parquet, one row group a shard, made out of core in the launcher."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from segflow import parts
from segflow.jobs.run import SHARDS_PER_PART, plan_part

# Rows in memory at once, on their way into and out of DuckDB: more buys no speed, and what a
# process has once asked for it rarely gives back.
ROWS_AT_ONCE = 1024
_FOR_PLANNING = ("shard_group", "weight", "examples")
_SORT_MEMORY = "256MB"  # DuckDB spills to disk beyond it


@dataclass(frozen=True)
class PlanSummary:
    """What a finished plan holds: shards by group in order, and rows."""

    groups: Mapping[str, int]
    rows: int


@dataclass
class PlanWriter:
    """Cuts a stream of rows, sorted by group, into shards and writes them.

    A shard ends when its group does, at `rows_per_shard[group]` rows, or when its rows weigh
    `max_weight` bytes. A row counts as many times as its column `examples` says, if there is one.
    """

    folder: Path
    rows_per_shard: Callable[[str], int]
    max_weight: int = 1 << 30
    _groups: dict[str, int] = field(default_factory=dict)
    _rows: int = 0
    _writer: pq.ParquetWriter | None = None

    def write(self, batches: Iterable[pa.RecordBatch]) -> PlanSummary:
        """Writes all rows; `batches` needs the columns `shard_group` and `weight` (bytes)."""
        pending: list[pa.RecordBatch] = []
        group, count, weight = None, 0, 0
        for batch in batches:
            start = 0
            rows = zip(
                batch.column("shard_group").to_pylist(),
                batch.column("weight").to_pylist(),
                _examples(batch),
                strict=True,
            )
            for row, (row_group, row_weight, examples) in enumerate(rows):
                full = group is not None and (
                    row_group != group
                    or (count and count + examples > self.rows_per_shard(group))
                    or (count and weight + row_weight > self.max_weight)
                )
                if full:
                    self._end_shard(group, [*pending, batch.slice(start, row - start)])
                    pending, start, count, weight = [], row, 0, 0
                group, count, weight = row_group, count + examples, weight + row_weight
            pending.append(batch.slice(start))
        if group is not None:
            self._end_shard(group, pending)
        if self._writer is not None:
            self._writer.close()
        return PlanSummary(dict(self._groups), self._rows)

    def _end_shard(self, group: Any, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches)
        table = table.drop_columns([name for name in _FOR_PLANNING if name in table.column_names])
        part, row_group = divmod(sum(self._groups.values()), SHARDS_PER_PART)
        if row_group == 0:
            if self._writer is not None:
                self._writer.close()
            path = plan_part(self.folder, part)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, table.schema, compression="zstd")
        assert self._writer is not None
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._groups[group] = self._groups.get(group, 0) + 1
        self._rows += table.num_rows


def _examples(batch: pa.RecordBatch) -> list[int]:
    if "examples" not in batch.schema.names:
        return [1] * batch.num_rows
    return batch.column("examples").to_pylist()


def write_listing(path: Path, rows: Iterator[Mapping[str, Any]], schema: pa.Schema) -> int:
    """Streams rows to a Parquet file in bounded memory.

    Returns:
        The number of rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, pending = 0, []
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in rows:
            pending.append(row)
            if len(pending) == ROWS_AT_ONCE:
                writer.write_batch(pa.RecordBatch.from_pylist(pending, schema=schema))
                count, pending = count + len(pending), []
        writer.write_batch(pa.RecordBatch.from_pylist(pending, schema=schema))
    return count + len(pending)


def connect(spill: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that sorts and joins out of core, spilling to `spill`."""
    return parts.connect(_SORT_MEMORY, spill, threads=2)
