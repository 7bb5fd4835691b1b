"""Files inside packs: where they lie in a tar, TFRecord or Parquet file, and reading just them.

A row of the plan carries such an address as a string of JSON; nothing is ever extracted to disk.
"""

import functools
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from segflow.data.config import DecodeLimits
from segflow.data.decode import PERMANENT_ERRORS
from segflow.data.records import read_feature
from segflow.errors import RejectCode, RejectError

if TYPE_CHECKING:  # Arrow doubles the memory of a decoder, most of which never read Parquet
    import pyarrow as pa
    import pyarrow.parquet as pq

LARGEST_COLUMN = 512 << 20  # bytes of one column in one row group: a worker reads it whole
MOST_HELD = 3 * LARGEST_COLUMN  # bytes: two columns are kept till the next one is read
PREFIXES = "DELTA_BYTE_ARRAY"  # an encoding: each value without what it shares with the one before
NO_DICTIONARIES = frozenset({PREFIXES, "DELTA_LENGTH_BYTE_ARRAY"})
"""Encodings that Arrow cannot read as dictionaries."""

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Pack:
    """A pack as it was listed: its path and its size in bytes."""

    path: str
    bytes: int


@dataclass(frozen=True)
class Span:
    """Bytes at an offset: a member of a tar file."""

    kind: ClassVar[str] = "span"
    pack: Pack
    offset: int
    size: int

    def read(self, limits: DecodeLimits) -> bytes:
        """The bytes.

        Raises:
            RejectError: They are too many, or the pack ends before them.
        """
        _require_size(self.size, limits)
        with Path(self.pack.path).open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise RejectError(RejectCode.UNREADABLE, "cut off: the archive ends in the midst of it")
        return data


@dataclass(frozen=True)
class Feature:
    """A feature of the `tf.train.Example` in the frame at an offset of a TFRecord file."""

    kind: ClassVar[str] = "feature"
    pack: Pack
    offset: int
    size: int
    name: str

    def read(self, limits: DecodeLimits) -> bytes | None:
        """The feature's bytes; None if the example has no such feature.

        Raises:
            RejectError: The record is too large, damaged, or no example.
        """
        _require_size(self.size, limits)
        try:
            return read_feature(self.pack.path, self.offset, self.name)
        except ValueError as error:
            raise RejectError(RejectCode.UNREADABLE, str(error)) from error


@dataclass(frozen=True)
class Cell:
    """A value of a column of a Parquet file; bytes, or Hugging Face's `{bytes, path}`."""

    kind: ClassVar[str] = "cell"
    pack: Pack
    row_group: int
    row: int
    column: str

    def read(self, limits: DecodeLimits) -> bytes | None:
        """The value's bytes; None for null.

        Raises:
            RejectError: They are too many, or the file is damaged.
            MemoryError: The column does not fit, which says nothing of the file.
        """
        import pyarrow as pa

        try:
            mtime_ns = Path(self.pack.path).stat().st_mtime_ns
            with _one_at_a_time:  # a cache alone lets every thread that misses decode its own copy
                values = _column(self.pack.path, mtime_ns, self.row_group, self.column)
            value = values[self.row].as_py()
        except MemoryError:  # Arrow's own is one of its exceptions, too
            raise
        except (pa.ArrowException, IndexError) as error:
            raise RejectError(RejectCode.UNREADABLE, f"damaged Parquet file: {error}") from error
        if value is not None:
            _require_size(len(value), limits)
        return value


Part = Span | Feature | Cell

_KINDS: dict[str, type[Part]] = {part.kind: part for part in (Span, Feature, Cell)}


def to_json(part: Part) -> str:
    """The address for the plan."""
    return json.dumps({"kind": part.kind, **asdict(part)}, separators=(",", ":"))


def from_json(text: str) -> Part:
    """The address that `to_json` wrote."""
    data = json.loads(text)
    return _KINDS[data.pop("kind")](**data | {"pack": Pack(**data["pack"])})


def is_in_columns(row: Mapping[str, Any]) -> bool:
    """Whether whole columns are read for the image or mask of a row of the plan."""
    parts = (row.get("image_part"), row.get("mask_part"))
    return any(isinstance(from_json(part), Cell) for part in parts if part)


def read_part(part: Part, limits: DecodeLimits) -> bytes | None:
    """Reads a file inside a pack; None where the pack has a place for it that is empty.

    Raises:
        RejectError: It cannot be read, or is larger than the cap.
        OSError: The storage failed in a way that may pass.
    """
    try:
        return part.read(limits)
    except OSError as error:  # Arrow's errors of damaged data are such, too, without a number
        if error.errno is not None and error.errno not in PERMANENT_ERRORS:
            raise
        raise RejectError(RejectCode.UNREADABLE, f"cannot be opened: {error}") from error


# Rows of one row group follow each other in the plan; image and mask are two columns.
@functools.lru_cache(maxsize=2)
def _column(path: str, mtime_ns: int, row_group: int, column: str) -> "pa.ChunkedArray":
    """A column of a row group; a value that its file holds once is held once here, too.

    `mtime_ns` is there for the cache: a file that is written anew is read anew.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    is_struct = pa.types.is_struct(metadata.schema.to_arrow_schema().field(column).type)
    wanted = f"{column}.bytes" if is_struct else column
    as_dictionary = encodings(metadata, row_group, column).isdisjoint(NO_DICTIONARIES)
    shared = [wanted] if as_dictionary else None
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=shared) as file:
        table = file.read_row_group(row_group, columns=[wanted], use_threads=False)
    values = table.column(column)
    return values.flatten()[0] if is_struct else values  # flatten: null where the struct is


def encodings(metadata: "pq.FileMetaData", row_group: int, column: str) -> set[str]:
    """How a row group holds a column of bytes or `{bytes, path}`, in Parquet's names."""
    group = metadata.row_group(row_group)
    chunks = (group.column(i) for i in range(group.num_columns))
    of_name = (c for c in chunks if c.path_in_schema in (column, f"{column}.bytes"))
    return {encoding for chunk in of_name for encoding in chunk.encodings}


def _require_size(size: int, limits: DecodeLimits) -> None:
    if size > limits.max_bytes:
        raise RejectError(
            RejectCode.TOO_LARGE,
            f"{size} bytes, over the cap of {limits.max_bytes} (--limits.max-bytes)",
        )
