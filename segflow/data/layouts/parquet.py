"""Parquet files that hold the images' bytes, as Hugging Face's datasets do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segflow.data.layouts.base import Role, SourceFile, SourcePaths
from segflow.data.layouts.packs import broken, first_pack, list_packs, split_of, why_packs
from segflow.data.listing import Listed
from segflow.data.packs import LARGEST_COLUMN, PREFIXES, Cell, Pack, encodings, to_json
from segflow.data.texts import parquet_rows
from segflow.errors import UsageError
from segflow.label_map import LabelMap

_IMAGE = "image"
_MASKS = ("mask", "label", "annotation", "segmentation_mask")
_OPTIONAL = ("key", "split")


@dataclass(frozen=True)
class Parquet:
    """Columns image and mask of bytes or `{bytes, path}`; optional key and split."""

    name: str = "parquet"
    suffixes: frozenset[str] = frozenset({".parquet"})

    def recognise(self, paths: SourcePaths) -> str | None:
        """--images is a Parquet file, or a folder of them, with bytes in its column image."""
        pack = first_pack(paths, self.suffixes)
        if pack is None or not holds_bytes(pack):
            return None
        return f"{why_packs(paths, self.suffixes)}, and its column image holds bytes"

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Image and mask of each row; without a column key, the file's key and the row's number.

        Raises:
            UsageError: A file lacks a column, or its row groups are too large.
        """
        return self._sources(paths, ("image", "mask"))

    def images(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """The image of each row; no column of masks is needed.

        Raises:
            UsageError: As `sources`.
        """
        return self._sources(paths, ("image",))

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """None: the file says nothing of classes."""
        return None

    def _sources(self, paths: SourcePaths, roles: tuple[Role, ...]) -> Iterator[SourceFile]:
        for pack in list_packs(self.name, paths, self.suffixes):
            if pack.code is not None:
                yield broken(pack, pack.message or "")
                continue
            try:
                with pq.ParquetFile(pack.path) as file:
                    yield from _rows(pack, file, roles)
            except pa.ArrowException as error:
                yield broken(pack, f"a broken Parquet file: {error}")


def holds_bytes(path: Path) -> bool:
    """Whether the column `image` of a Parquet file holds bytes, and not addresses."""
    try:
        return _is_bytes(pq.read_schema(path), _IMAGE)
    except (OSError, pa.ArrowException):
        return False


def _is_bytes(schema: pa.Schema, name: str) -> bool:
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_binary(kind.field(place).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _rows(pack: Listed, file: pq.ParquetFile, roles: tuple[Role, ...]) -> Iterator[SourceFile]:
    columns = _columns(pack, file.schema_arrow, roles)
    texts = _texts(pack, [name for name in _OPTIONAL if name in file.schema_arrow.names])
    number = 0
    for group in range(file.metadata.num_row_groups):
        sizes = {name: _bytes_per_row(pack, file, group, name) for name in columns.values()}
        for row in range(file.metadata.row_group(group).num_rows):
            text = next(texts, {})
            for role, column in columns.items():
                cell = Cell(Pack(pack.path, pack.bytes), group, row, column)
                yield _source(role, pack, cell, number, sizes[column], text)
            number += 1


def _texts(pack: Listed, columns: list[str]) -> Iterator[Mapping[str, Any]]:
    """What each row says besides its pictures; nothing where it has no such column.

    Raises:
        UsageError: It says too much.
    """
    if columns:
        try:
            yield from parquet_rows(pack.path, columns)
        except pa.ArrowException:  # some are values' errors, too; the file is broken
            raise
        except ValueError as error:
            raise UsageError(f"{pack.path}: {error}") from error


def _columns(pack: Listed, schema: pa.Schema, roles: tuple[Role, ...]) -> dict[Role, str]:
    """The columns of bytes that hold images, and masks if they are wanted.

    Raises:
        UsageError: There are none.
    """
    names: dict[Role, tuple[str, ...]] = {"image": (_IMAGE,), "mask": _MASKS}
    found = {
        role: next((name for name in names[role] if _is_bytes(schema, name)), None)
        for role in roles
    }
    columns = {role: name for role, name in found.items() if name is not None}
    if len(columns) < len(roles):
        masks = f" and {', '.join(_MASKS[:-1])} or {_MASKS[-1]}"
        expected = f"columns image{masks}" if "mask" in roles else "a column image"
        raise UsageError(
            f"{pack.path}: expected {expected} of bytes, found {', '.join(schema.names)}"
        )
    return columns


def _bytes_per_row(pack: Listed, file: pq.ParquetFile, group: int, name: str) -> int:
    """What a value weighs on average; one that is repeated weighs once, as it is read.

    Raises:
        UsageError: All of them are more than a worker should read at once, or they are stored in
            a form that does not tell.
    """
    if PREFIXES in encodings(file.metadata, group, name):
        raise UsageError(
            f"{pack.path}: column {name} is encoded as {PREFIXES}; write the file anew with "
            "another encoding, such as PLAIN"
        )
    metadata = file.metadata.row_group(group)
    columns = (metadata.column(i) for i in range(metadata.num_columns))
    of_name = (c for c in columns if c.path_in_schema in (name, f"{name}.bytes"))
    size = sum(column.total_uncompressed_size for column in of_name)
    if size > LARGEST_COLUMN:
        raise UsageError(
            f"{pack.path}: row group {group} has {size} bytes in column {name}; expected at most "
            f"{LARGEST_COLUMN}; write the file anew with fewer rows a group"
        )
    return int(size // max(1, metadata.num_rows))


def _source(
    role: Role, pack: Listed, cell: Cell, number: int, size: int, text: Mapping[str, Any]
) -> SourceFile:
    key = str(text.get("key") or f"{pack.key}/{number:08d}")
    split = str(text["split"]) if text.get("split") else split_of(pack)
    path = f"{pack.path}/{number:08d}"
    file = Listed(path, key, size, pack.mtime_ns, part=to_json(cell))
    # A worker reads a row group at once: its rows stay together.
    return SourceFile(role, file, key, split, near=f"{pack.key}/{cell.row_group}")
