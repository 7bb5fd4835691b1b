"""Lists of images as CSV, JSONL or Parquet: their rows, checked, one after another."""

import csv
import json
import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segflow.data.listing import without_extension
from segflow.data.texts import parquet_rows, require_short, short_lines
from segflow.errors import UsageError
from segflow.ranges import GROUND_RESOLUTION

_RESOLUTION = "ground_resolution"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """What the rows of a list may say, besides the ground resolution; other columns are left.

    Attributes:
        addresses: `image` and perhaps `mask`; a row must have at least one of them.
        texts: Optional ones.
    """

    addresses: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.addresses, *self.texts, _RESOLUTION)

    def require(self, found: Any, where: str) -> None:
        """Raises `ValueError` unless the columns of addresses are among those found."""
        names = [str(name) for name in found or ()]
        if missing := [name for name in self.addresses if name not in names]:
            raise ValueError(
                f"{where} has no column {missing[0]!r}; expected {', '.join(self.addresses)} and "
                f"optional {', '.join((*self.texts, _RESOLUTION))}; found "
                f"{', '.join(names) or 'nothing'}"
            )


@dataclass(frozen=True)
class Entry:
    """A row of a list; None stands for what it does not say.

    Attributes:
        number: From 1.
        image: Address of an image.
        mask: Address of its mask.
        key: The image's.
        split: The image's.
        group: What the image belongs to: a video, a patient, a flight.
        ground_resolution: Side of a pixel in metres.
    """

    number: int
    image: str | None = None
    mask: str | None = None
    key: str | None = None
    split: str | None = None
    group: str | None = None
    ground_resolution: float | None = None


def list_kind(path: Path) -> str | None:
    """`CSV`, `JSONL`, `NDJSON` or `PARQUET`, by the file's name; None: no list."""
    suffix = path.suffix.lower()
    return suffix.removeprefix(".").upper() if suffix in _READERS else None


def read_list(path: Path, what: str, columns: Columns) -> Iterator[Entry]:
    """Reads the rows of a list; a few are in memory at once.

    Args:
        path: The list.
        what: What messages call it.
        columns: What its rows may say.

    Raises:
        UsageError: It is missing, broken, lacks a column, or a row makes no sense.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"{what} {path}: expected a file that ends in {', '.join(_READERS)}")
    try:
        for number, row in enumerate(read(path, columns), 1):
            yield _entry(row, number, columns)
    except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise UsageError(f"{what} {path}: cannot be read: {error}") from error


def key_of(address: str, root: Path) -> str:
    """The key of an entry without one: its path without extension.

    Relative to the root where it lies there, so that a key depends on no place.
    """
    path = PurePath(address)
    if path.is_relative_to(root):
        path = path.relative_to(root)
    return without_extension(path.as_posix().lstrip("/"))


def _entry(row: Row, number: int, columns: Columns) -> Entry:
    texts = {
        name: _text(row, name, number, numbers=name in columns.texts)
        for name in (*columns.addresses, *columns.texts)
    }
    if not any(texts[name] for name in columns.addresses):
        several = len(columns.addresses) > 1
        raise ValueError(
            f"row {number} names {'neither an image nor a mask' if several else 'no image'}"
        )
    return Entry(number, **texts, ground_resolution=_resolution(row, number))


def _text(row: Row, name: str, number: int, *, numbers: bool) -> str | None:
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        require_short(f"row {number}: {name}", len(value))
        return value.strip()
    if numbers and isinstance(value, int):
        return str(value)
    raise ValueError(f"row {number}: {name} must be a string, found {reprlib.repr(value)}")


def _resolution(row: Row, number: int) -> float | None:
    value = row.get(_RESOLUTION)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        metres = float(value)
    except (TypeError, ValueError):
        metres = math.nan
    low, high = GROUND_RESOLUTION
    if not low <= metres <= high:
        raise ValueError(
            f"row {number}: {_RESOLUTION} must be metres a pixel, {low} to {high}, found "
            f"{reprlib.repr(value)}"
        )
    return metres


def _read_csv(path: Path, columns: Columns) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(short_lines(file))
        columns.require(reader.fieldnames, "its first line")
        yield from reader


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Row]:
    columns_seen = False
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(short_lines(file), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: not valid JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number}: expected an object, found {line[:40].strip()}")
            if not columns_seen:  # later rows may leave out what they have not
                columns.require(row, f"line {number}")
                columns_seen = True
            yield row


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    names: Sequence[str] = pq.read_schema(path).names
    columns.require(names, "it")
    return parquet_rows(path, [name for name in columns.names if name in names])


_READERS: dict[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}

LIST_SUFFIXES = tuple(_READERS)
