"""Part files of tables: DuckDB on them, how SQL names them, and their rows by place."""

import bisect
import glob
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from segflow.errors import JobError

_ROWS_AT_ONCE = 64


def connect(memory: str, spill: Path, **settings: str | int) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection, in memory, that works out of core.

    Args:
        memory: What it may take, such as `512MB`; beyond that it spills to disk.
        spill: The folder for that.
        settings: More of DuckDB's.
    """
    connection = duckdb.connect(
        config={"memory_limit": memory, "temp_directory": str(spill), **settings}
    )
    # It would be drawn on stdout, which is the command's own, while a query takes some seconds.
    connection.execute("SET enable_progress_bar_print = false")
    return connection


def literal(text: str) -> str:
    """A text of SQL."""
    return "'" + text.replace("'", "''") + "'"


def escaped(path: Path | str) -> str:
    """A path as DuckDB takes it for itself, and not for a pattern."""
    return glob.escape(str(path))


def sql_path(path: Path | str) -> str:
    """Such a path as a text of SQL."""
    return literal(escaped(path))


def scan(parts: Sequence[Path], *options: str) -> str:
    """What stands behind FROM to read part files, at least one, and to say which in `filename`.

    Args:
        parts: The files.
        options: Of `read_parquet`, to be true.
    """
    quoted = ", ".join(sql_path(part) for part in parts)
    switches = ", ".join(f"{option} = true" for option in ("filename", *options))
    # Hive partitioning would read columns out of any folder above that is called a=b.
    return f"read_parquet([{quoted}], {switches}, hive_partitioning = false)"


def rows_at(
    part: Path | str, places: Collection[int], columns: Collection[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a part file by place, in the order of places; a few are in memory at once.

    Args:
        part: The file.
        places: Numbers of rows in it, from 0.
        columns: Those wanted; the file may lack some.

    Raises:
        JobError: The file is damaged.
    """
    wanted = sorted(places)
    try:
        with pq.ParquetFile(part) as file:
            names = [name for name in columns if name in file.schema_arrow.names]
            end = 0
            for group in range(file.num_row_groups):
                start, end = end, end + file.metadata.row_group(group).num_rows
                if _between(wanted, start, end):
                    yield from _rows_of(file, group, start, wanted, names)
    except (pa.ArrowException, OSError) as error:
        raise JobError(f"{part}: damaged: {error}; try segflow verify") from error


def _rows_of(
    file: pq.ParquetFile, group: int, start: int, wanted: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=names):
        here = _between(wanted, start, start + len(batch))
        rows = batch.take(pa.array([place - start for place in here], pa.int64()))
        yield from zip(here, rows.to_pylist(), strict=True)
        start += len(batch)


def _between(places: Sequence[int], start: int, end: int) -> Sequence[int]:
    """Those of sorted places from `start` to before `end`."""
    return places[bisect.bisect_left(places, start) : bisect.bisect_left(places, end)]
