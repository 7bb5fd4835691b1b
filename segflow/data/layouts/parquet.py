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
from segflow.data.packs import LARGEST_COLUMN, Cell, Pack, encodings, to_json
from segflow.errors import UsageError
from segflow.label_map import LabelMap

SUFFIXES = frozenset({".parquet"})
_IMAGE = "image"
_MASKS = ("mask", "label", "annotation", "segmentation_mask")
_OPTIONAL = ("key", "split")
_PREFIXES = "DELTA_BYTE_ARRAY"  # each value without what it shares with the one before


@dataclass(frozen=True)
class Parquet:
    """Columns image and mask of bytes or `{bytes, path}`; optional key and split."""

    name: str = "parquet"

    def recognise(self, paths: SourcePaths) -> str | None:
        """--images is a Parquet file, or a folder of them, with bytes in its column image."""
        pack = first_pack(paths, SUFFIXES)
        if pack is None or not holds_bytes(pack):
            return None
        return f"{why_packs(paths, SUFFIXES)}, and its column image holds bytes"

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Image and mask of each row; without a column key, the file's key and the row's number.

        Raises:
            UsageError: A file lacks a column, or its row groups are too large.
        """
        for pack in list_packs(self.name, paths, SUFFIXES):
            if pack.code is not None:
                yield broken(pack, pack.message or "")
                continue
            try:
                with pq.ParquetFile(pack.path) as file:
                    yield from _rows(pack, file)
            except pa.ArrowException as error:
                yield broken(pack, f"a broken Parquet file: {error}")

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """None: the file says nothing of classes."""
        return None


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


def _rows(pack: Listed, file: pq.ParquetFile) -> Iterator[SourceFile]:
    schema = file.schema_arrow
    mask = next((name for name in _MASKS if _is_bytes(schema, name)), None)
    if mask is None or not _is_bytes(schema, _IMAGE):
        raise UsageError(
            f"{pack.path}: expected columns image and {', '.join(_MASKS[:-1])} or {_MASKS[-1]} of "
            f"bytes, found {', '.join(schema.names)}"
        )
    wanted = [name for name in _OPTIONAL if name in schema.names]
    number = 0
    for group in range(file.metadata.num_row_groups):
        sizes = {name: _bytes_per_row(pack, file, group, name) for name in (_IMAGE, mask)}
        rows = file.metadata.row_group(group).num_rows
        texts = file.read_row_group(group, columns=wanted).to_pylist() if wanted else [{}] * rows
        for row, text in enumerate(texts):
            yield from _pair(pack, (group, row, number), sizes, text)
            number += 1


def _bytes_per_row(pack: Listed, file: pq.ParquetFile, group: int, name: str) -> int:
    """What a value weighs on average; one that is repeated weighs once, as it is read.

    Raises:
        UsageError: All of them are more than a worker should read at once, or they are stored in
            a form that does not tell.
    """
    if _PREFIXES in encodings(file.metadata, group, name):
        raise UsageError(
            f"{pack.path}: column {name} is encoded as {_PREFIXES}; write the file anew with "
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


def _pair(
    pack: Listed, place: tuple[int, int, int], sizes: Mapping[str, int], text: Mapping[str, Any]
) -> Iterator[SourceFile]:
    group, row, number = place
    key = str(text.get("key") or f"{pack.key}/{number:08d}")
    split = str(text["split"]) if text.get("split") else split_of(pack)
    roles: tuple[Role, Role] = ("image", "mask")
    for role, (column, size) in zip(roles, sizes.items(), strict=True):
        part = to_json(Cell(Pack(pack.path, pack.bytes), group, row, column))
        path = f"{pack.path}/{number:08d}"
        file = Listed(path, key, size, pack.mtime_ns, part=part)
        # A worker reads a row group at once: its rows stay together.
        yield SourceFile(role, file, key, split, near=f"{pack.key}/{group}")
