"""Parquet tables of an output folder, read through DuckDB a few rows at a time."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

_MEMORY = "1GB"  # a report needs far less; this keeps a huge table from taking the machine


class Table:
    """The parts of one table that a commit record lists, as the SQL view `parts`.

    Queries stream: DuckDB reads the columns they name, row group by row group, and fetches
    wide columns (masks) only for the rows that an `ORDER BY … LIMIT` keeps.
    """

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        """Opens the table.

        Args:
            folder: The output folder.
            paths: Of the parts, relative to `folder`; there may be none.
        """
        self._paths = [_literal(folder / path) for path in paths]
        self._connection = duckdb.connect(config={"memory_limit": _MEMORY})
        if self._paths:
            parts = self._connection.read_parquet(self._paths, hive_partitioning=False)
            parts.create_view("parts")

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query `… FROM parts …`, as dictionaries; none if there are no parts."""
        if not self._paths:
            return []
        result = self._connection.execute(sql, parameters)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def listed(files: Iterable[dict[str, Any]], table: str) -> list[str]:
    """The paths of a commit record's `files` that belong to `table`, such as `rejects`."""
    return [file["path"] for file in files if file["path"].split("/")[0] == table]


def _literal(path: Path) -> str:
    """A path as a DuckDB pattern that matches it alone: `[`, `*` and `?` are legal in names."""
    return "".join(f"[{c}]" if c in "[*?" else c for c in str(path))
