"""Parquet tables of an output folder, queried through DuckDB a few rows at a time."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from segflow import parts, storage

_MEMORY = "512MB"  # beyond it DuckDB spills to disk


class Tables:
    """The parts that a commit record lists, as one SQL view for each table.

    Queries stream: DuckDB reads the columns they name, row group by row group. A view also has
    the column `filename`. A table without parts, such as `rejects`, is an empty view.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """What the views lie in."""
        return self._connection

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query as dictionaries; `$name` stands for a parameter."""
        result = self._connection.execute(sql, parameters)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def execute(self, sql: str, **parameters: Any) -> None:
        """Runs a statement that has no result, such as one that makes a view."""
        self._connection.execute(sql, parameters)


@contextlib.contextmanager
def opened(
    folder: Path, files: Iterable[Mapping[str, Any]], columns: Mapping[str, str]
) -> Iterator[Tables]:
    """Opens tables of an output folder.

    Args:
        folder: The output folder.
        files: The commit record's list of parts; the first part of a path names its table.
        columns: For each table wanted, the columns (SQL names and types) that it has even if it
            has no parts.
    """
    listed: dict[str, list[Path]] = {}
    for file in files:
        listed.setdefault(file["path"].split("/")[0], []).append(folder / file["path"])
    with storage.scratch_folder() as spill, parts.connect(_MEMORY, spill) as connection:
        for table, names in columns.items():
            connection.execute(_definition(table, listed.get(table, []), names))
        yield Tables(connection)


def _definition(table: str, files: list[Path], columns: str) -> str:
    if not files:
        return f'CREATE TABLE "{table}" ({columns}, filename VARCHAR)'
    return f'CREATE VIEW "{table}" AS FROM {parts.scan(files)}'
