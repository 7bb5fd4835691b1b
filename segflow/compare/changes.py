"""Pixels that go from one class to another, image by image and in all."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segflow import scores
from segflow.data import mask_formats
from segflow.errors import JobError
from segflow.jobs.cores import available_cores

IMAGES_AT_ONCE = 64

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

# An image is the same if its bytes are: the address alone may hold another picture by now.
_PAIRS = """
    SELECT image_uri, a_masks.mask, a_masks.mask_format, b_masks.mask, b_masks.mask_format
    FROM a JOIN b USING (image_uri, image_sha256)
    JOIN a_masks ON a_masks.image_uri = a.image_uri AND a_masks.run = a.run
    JOIN b_masks ON b_masks.image_uri = b.image_uri AND b_masks.run = b.run
"""

_COUNTS = """
    SELECT count(*) FILTER (a.image_sha256 = b.image_sha256),
           count(*) FILTER (a.image_sha256 <> b.image_sha256),
           count(*) FILTER (b.image_uri IS NULL),
           count(*) FILTER (a.image_uri IS NULL)
    FROM a FULL JOIN b USING (image_uri)
"""


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
    row = connection.execute(_COUNTS).fetchone()
    assert row is not None
    return dict(zip(names, map(int, row), strict=True))


def image_changes(
    connection: duckdb.DuckDBPyConnection, num_classes: int
) -> Iterator[Sequence[dict[str, Any]]]:
    """The rows of `SCHEMA`, some at a time, in no order.

    Args:
        connection: With `a`, `b`, `a_masks` and `b_masks`, as `Selection.load` makes them.
        num_classes: Number of classes n.

    Raises:
        JobError: Two masks of one image differ in size.
    """
    found = connection.execute(_PAIRS)
    # Pillow and zlib let go of the interpreter's lock while they decode.
    with ThreadPoolExecutor(available_cores()) as pool:
        while rows := found.fetchmany(IMAGES_AT_ONCE):
            yield list(pool.map(lambda row: _image_row(row, num_classes), rows))


def _image_row(row: Sequence[Any], num_classes: int) -> dict[str, Any]:
    uri, *encoded = row
    masks = [(bytes(encoded[i]), encoded[i + 1]) for i in (0, 2)]
    size, other = (mask_formats.size_of(*mask) for mask in masks)
    if size != other:
        raise JobError(
            f"{uri}: the masks are {_size(size)} and {_size(other)}, though the image is the "
            "same; were they made with other --limits or versions?"
        )
    transitions = np.zeros((num_classes, num_classes), np.int64)
    for before, after in zip(*(mask_formats.bands(*mask) for mask in masks), strict=True):
        transitions += scores.confusion_matrix(
            before.astype(np.int64), after.astype(np.int64), num_classes, ignore_id=-1
        )
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
