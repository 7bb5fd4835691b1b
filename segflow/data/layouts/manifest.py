"""Manifests: a list of pairs as CSV, JSONL or Parquet."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segflow.data.layouts.base import SourceFile, SourcePaths
from segflow.data.layouts.parquet import holds_bytes
from segflow.data.listing import list_entry, without_extension
from segflow.errors import RejectCode, UsageError
from segflow.label_map import LabelMap

_COLUMNS = ("image", "mask")
_OPTIONAL = ("key", "split", "group")
_RESOLUTION = "ground_resolution"
_BATCH = 8192  # rows

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """Columns image and mask, optional key, split, group, ground_resolution; others are left."""

    name: str = "manifest"

    def recognise(self, paths: SourcePaths) -> str | None:
        """--images is a file of one of the three kinds."""
        path = Path(paths.images)
        if paths.has_own_masks or path.suffix.lower() not in _READERS or not path.is_file():
            return None
        if path.suffix.lower() == ".parquet" and holds_bytes(path):
            return None  # a pack
        return f"--images is a {path.suffix.lower().removeprefix('.').upper()} file"

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """The two files of each row; the key is the image's path without extension.

        Raises:
            UsageError: The list is missing, broken, or lacks a column.
        """
        path = Path(paths.images)
        read = _READERS.get(path.suffix.lower())
        if read is None or paths.has_own_masks:
            raise UsageError(
                f"layout manifest: expected --images LIST.csv, .jsonl or .parquet without --masks, "
                f"found {path}{f' and {paths.masks}' if paths.has_own_masks else ''}"
            )
        root = Path(paths.root or path.parent)
        if not root.is_dir():
            raise UsageError(f"--root {root}: no such folder")
        try:
            for number, row in enumerate(read(path), 1):
                yield from _pair(row, number, root, confined=paths.root is not None)
        except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException) as error:
            raise UsageError(f"manifest {path}: cannot be read: {error}") from error

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """None: a list says nothing of classes."""
        return None


def _pair(row: Row, number: int, root: Path, *, confined: bool) -> Iterator[SourceFile]:
    texts = {name: _text(row, name, number) for name in (*_COLUMNS, *_OPTIONAL)}
    image, mask = texts["image"], texts["mask"]
    split, group = texts["split"], texts["group"]
    key = texts["key"] or (_key(image, root) if image else f"row {number}")
    if image:
        file = list_entry(root, image, key, RejectCode.MISSING_IMAGE, confined)
        resolution = _resolution(row, number)
        yield SourceFile("image", file, key, split, group=group, ground_resolution=resolution)
    if mask:
        file = list_entry(root, mask, key, RejectCode.MISSING_MASK, confined)
        yield SourceFile("mask", file, key, split, group=group)
    if not image and not mask:
        raise ValueError(f"row {number} names neither an image nor a mask")


def _text(row: Row, name: str, number: int) -> str | None:
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return value.strip()
    if name in _OPTIONAL and isinstance(value, int):
        return str(value)
    raise ValueError(f"row {number}: {name} must be a string, found {value!r}")


def _resolution(row: Row, number: int) -> float | None:
    value = row.get(_RESOLUTION)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        metres = float(value)
    except (TypeError, ValueError):
        metres = math.nan
    if not 0 < metres < math.inf:
        raise ValueError(
            f"row {number}: {_RESOLUTION} must be metres a pixel, above 0, found {value!r}"
        )
    return metres


def _key(image: str, root: Path) -> str:
    """Relative to the root where it lies there, so that a key depends on no place."""
    path = PurePath(image)
    if path.is_relative_to(root):
        path = path.relative_to(root)
    return without_extension(path.as_posix().lstrip("/"))


def _require_columns(found: Any, where: str) -> None:
    names = [str(name) for name in found or ()]
    if missing := [name for name in _COLUMNS if name not in names]:
        raise ValueError(
            f"{where} has no column {missing[0]!r}; expected image, mask and optional key, split, "
            f"group, {_RESOLUTION}; found {', '.join(names) or 'nothing'}"
        )


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        _require_columns(reader.fieldnames, "its first line")
        yield from reader


def _read_jsonl(path: Path) -> Iterator[Row]:
    columns_seen = False
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: not valid JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number}: expected an object, found {line[:40].strip()}")
            if not columns_seen:  # later rows may leave out what they have not
                _require_columns(row, f"line {number}")
                columns_seen = True
            yield row


def _read_parquet(path: Path) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _require_columns(names, "it")
        columns = [name for name in (*_COLUMNS, *_OPTIONAL, _RESOLUTION) if name in names]
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            yield from batch.to_pylist()


_READERS = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
