"""Pixels that go from one class to another, image by image and in all."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segflow import parts, scores
from segflow.data import mask_formats
from segflow.errors import JobError
from segflow.jobs.cores import available_cores
from segflow.jobs.plan import ROWS_AT_ONCE

_BYTES_AT_ONCE = 1 << 25  # of one side's encoded masks; the other's are about as many
_MASK = ("mask", "mask_format")

SCHEMA = pa.schema(
    [
        pa.field("image_uri", pa.string(), metadata={"description": "as listed"}),
        pa.field("height", pa.int32(), metadata={"description": "pixels"}),
        pa.field("width", pa.int32(), metadata={"description": "pixels"}),
        pa.field("changed_pixels", pa.int64(), metadata={"description": "of another class"}),
        pa.field("changed_fraction", pa.float64(), metadata={"description": "of its pixels"}),
        pa.field(
            "transitions",
            pa.list_(pa.int64()),
            metadata={"description": "pixels by class before (rows) and after, row-major"},
        ),
    ]
)

# An image is the same if its bytes are: the address alone may hold another picture by now. The
# join is of places, not of masks, of which there may be more than memory holds.
_PAIRS = """
    SELECT image_uri,
           a_masks.filename AS part, a_masks.file_row_number AS place,
           b_masks.filename AS other_part, b_masks.file_row_number AS other_place
    FROM a JOIN b USING (image_uri, image_sha256)
    JOIN a_masks ON a_masks.image_uri = a.image_uri AND a_masks.run = a.run
    JOIN b_masks ON b_masks.image_uri = b.image_uri AND b_masks.run = b.run
    ORDER BY part, place
"""

_COUNTS = """
    SELECT count(*) FILTER (a.image_sha256 = b.image_sha256),
           count(*) FILTER (a.image_sha256 <> b.image_sha256),
           count(*) FILTER (b.image_uri IS NULL),
           count(*) FILTER (a.image_uri IS NULL)
    FROM a FULL JOIN b USING (image_uri)
"""


@dataclass
class _Pair:
    """An image's row of `_PAIRS`, and of each side its mask as it is stored."""

    row: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Changes:
    """Totals of a comparison.

    Attributes:
        transitions: Pixels by class before (rows) and after, int64 [n, n].
        images: Compared.
        changed_images: Of these, with at least one pixel of another class.
    """

    transitions: NDArray[np.int64]
    images: int = field(default=0, init=False)
    changed_images: int = field(default=0, init=False)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows of `SCHEMA`."""
        for row in rows:
            self.transitions += np.reshape(row["transitions"], self.transitions.shape)
            self.images += 1
            self.changed_images += row["changed_pixels"] > 0

    @property
    def pixels(self) -> int:
        """Of all images compared."""
        return int(self.transitions.sum())

    @property
    def changed_pixels(self) -> int:
        """Those of another class than before."""
        return self.pixels - int(np.trace(self.transitions))

    @property
    def changed_fraction(self) -> float:
        """Of the pixels; 0 without any."""
        return self.changed_pixels / max(1, self.pixels)


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many images of `a` and `b` can be compared, and why others cannot."""
    names = ("compared", "image_changed", "only_before", "only_after")
    (row,) = connection.execute(_COUNTS).fetchall()
    return dict(zip(names, map(int, row), strict=True))


def image_changes(
    connection: duckdb.DuckDBPyConnection, num_classes: int
) -> Iterator[Sequence[dict[str, Any]]]:
    """The rows of `SCHEMA`, some at a time, in the order of the first side's tables.

    Args:
        connection: With `a`, `b`, `a_masks` and `b_masks`, as `Selection.load` makes them.
        num_classes: Number of classes n.

    Raises:
        JobError: Two masks of one image differ in size, or a part file is damaged.
    """
    # Pillow and zlib let go of the interpreter's lock while they decode.
    with ThreadPoolExecutor(available_cores()) as pool:
        for pairs in _pairs(connection):
            yield list(pool.map(lambda pair: _image_row(pair, num_classes), pairs))


def _pairs(connection: duckdb.DuckDBPyConnection) -> Iterator[list[_Pair]]:
    """Images with their masks, as many at once as their bytes allow."""
    found = connection.sql(_PAIRS).to_arrow_reader(ROWS_AT_ONCE)
    rows = (row for batch in found for row in batch.to_pylist())
    pairs: list[_Pair] = []
    size = 0
    for part, of_part in itertools.groupby(rows, key=itemgetter("part")):
        by_place = {row["place"]: row for row in of_part}
        for place, stored in parts.rows_at(part, by_place, _MASK):
            pairs.append(_Pair(by_place[place], stored))
            size += len(stored["mask"])
            if size >= _BYTES_AT_ONCE or len(pairs) >= ROWS_AT_ONCE:
                yield _completed(pairs)
                pairs, size = [], 0
    if pairs:
        yield _completed(pairs)


def _completed(pairs: list[_Pair]) -> list[_Pair]:
    """The same with the other side's masks, each of whose row groups is read but once."""
    by_part: dict[str, dict[int, _Pair]] = {}
    for pair in pairs:
        by_part.setdefault(pair.row["other_part"], {})[pair.row["other_place"]] = pair
    for part, by_place in by_part.items():
        for place, stored in parts.rows_at(part, by_place, _MASK):
            by_place[place].after = stored
    return pairs


def _image_row(pair: _Pair, num_classes: int) -> dict[str, Any]:
    masks = [(side["mask"], side["mask_format"]) for side in (pair.before, pair.after)]
    size, other = (mask_formats.size_of(*mask) for mask in masks)
    uri = pair.row["image_uri"]
    if size != other:
        raise JobError(
            f"{uri}: the masks are {_size(size)} and {_size(other)}, though the image is the "
            "same; were they made with other --limits or versions?"
        )
    transitions = np.zeros((num_classes, num_classes), np.int64)
    for before, after in zip(*(mask_formats.bands(*mask) for mask in masks), strict=True):
        transitions += scores.confusion_matrix(before, after, num_classes, ignore_id=-1)
    changed = int(transitions.sum() - np.trace(transitions))
    return {
        "image_uri": uri,
        "height": size[0],
        "width": size[1],
        "changed_pixels": changed,
        "changed_fraction": changed / (size[0] * size[1]),
        "transitions": transitions.ravel().tolist(),
    }


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
