"""Rows of Parquet tables, found by a value."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from segflow import storage
from segflow.errors import UsageError
from segflow.jobs.plan import connect
from segflow.label.selection import parts_sql

_PLACES = ("filename", "file_row_number")  # DuckDB's own columns


def find_rows(parts: Sequence[Path], column: str, value: str) -> list[dict[str, Any]]:
    """The rows of part files where a column has a value, in the order of files and rows.

    Args:
        parts: The files.
        column: Of text.
        value: That it must have.

    Raises:
        UsageError: A file is damaged.
    """
    if not parts:
        return []
    sql = f"SELECT * FROM {parts_sql(parts)} WHERE {column} = $value ORDER BY {', '.join(_PLACES)}"
    with storage.scratch_folder() as scratch, connect(scratch) as connection:
        try:
            found = connection.execute(sql, {"value": value})
            names = [description[0] for description in found.description]
            rows = found.fetchall()
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"{parts[0].parent}: cannot be read: {reason}") from error
    named = (dict(zip(names, row, strict=True)) for row in rows)
    return [{k: v for k, v in row.items() if k not in _PLACES} for row in named]


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for people and for JSON: of bytes only how many they are."""
    return {k: f"{len(v):,} bytes" if isinstance(v, bytes) else v for k, v in row.items()}
