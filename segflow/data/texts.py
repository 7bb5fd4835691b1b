"""Texts of files that anybody may have written: each is short, and few are in memory at once."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segflow.data.packs import LARGEST_COLUMN, NO_DICTIONARIES, PREFIXES, encodings

LONGEST_TEXT = 64 << 10  # characters; in Parquet, bytes
_LONGEST_LINE = 1 << 20  # characters
_ROWS = 256
_PREFIXED_BYTES = 64 << 20  # of a batch of values, each of which may be as long as all is stored


def short_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file.

    Raises:
        ValueError: One is longer than a mebibyte.
    """
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"line {number}: longer than {_LONGEST_LINE} characters")
        yield line


def require_short(name: str, length: int | None) -> None:
    """Raises `ValueError` for a text that is longer than 64 KiB."""
    if length is not None and length > LONGEST_TEXT:
        raise ValueError(f"{name} is longer than {LONGEST_TEXT} characters")


def parquet_rows(path: str | Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The rows of a Parquet file's columns of texts and numbers.

    A text that the file holds once for many rows is in memory once: a file of a kilobyte may say
    a long one a million times.

    Args:
        path: The file.
        columns: Some of its columns, at least one.

    Raises:
        ValueError: A column holds something else, much in one row group, or a text that is longer
            than 64 KiB.
        OSError, pyarrow.ArrowException: The file is damaged.
    """
    metadata = pq.read_metadata(path)
    _require_plain(metadata.schema.to_arrow_schema(), columns)
    encoded = {name: _encodings(metadata, name) for name in columns}
    rows = min(_rows_at_once(metadata, name, found) for name, found in encoded.items())
    shared = [name for name, found in encoded.items() if found.isdisjoint(NO_DICTIONARIES)]
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=shared) as file:
        for batch in file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                require_short(f"a text in column {name}", _longest(column))
            yield from batch.to_pylist()


def _require_plain(schema: pa.Schema, columns: Sequence[str]) -> None:
    for name in columns:
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise ValueError(f"column {name} must hold texts or numbers, found {kind}")


def _encodings(metadata: pq.FileMetaData, name: str) -> set[str]:
    groups = range(metadata.num_row_groups)
    return set[str]().union(*(encodings(metadata, group, name) for group in groups))


def _rows_at_once(metadata: pq.FileMetaData, name: str, found: set[str]) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    sizes = (c.total_uncompressed_size for c in chunks if c.path_in_schema == name)
    largest = max(sizes, default=0)
    if largest > LARGEST_COLUMN:
        raise ValueError(
            f"a row group has {largest} bytes in column {name}; expected at most {LARGEST_COLUMN}; "
            "write the file anew with fewer rows a group"
        )
    return max(1, min(_ROWS, _PREFIXED_BYTES // max(1, largest))) if PREFIXES in found else _ROWS


def _longest(column: pa.Array) -> int | None:
    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    return pc.max(pc.binary_length(values)).as_py() if is_text else None
