"""Giants in the plan of a label run: weighed by their pixels, so that each has a shard for itself.

A giant stays one row of the plan, as it is one row of the tables: its mask is one value, and the
windows of neighbouring bands share rows of pixels and of logits. Inside its shard it is read and
labelled band by band.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from segflow.data.config import DecodeLimits
from segflow.data.tiff import windowed_header

_THREADS = 4  # they wait for the storage more than they compute
_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")  # what has another name is labelled just as well
_SMALLEST = 1032  # pixels a byte at most, by deflate; what is packed tighter counts as small
_COLUMNS = ("weight", "image_uri", "image_bytes", "code")


def weighed(batches: Iterable[pa.RecordBatch], limits: DecodeLimits) -> Iterator[pa.RecordBatch]:
    """The rows of a plan, those of giants with what their pixels take, in bytes, as `weight`."""

    def weigh(row: Mapping[str, Any]) -> int:
        return _weight(row, limits)

    with ThreadPoolExecutor(_THREADS) as pool:
        for batch in batches:
            weights = pa.array(pool.map(weigh, batch.select(_COLUMNS).to_pylist()), pa.int64())
            index = batch.schema.get_field_index("weight")
            yield batch.set_column(index, batch.schema.field(index), weights)


def _weight(row: Mapping[str, Any], limits: DecodeLimits) -> int:
    """Of one row; only headers of files that may be giants are looked at."""
    path, size = row["image_uri"], row["image_bytes"]
    weight = int(row["weight"])
    may_be = size * _SMALLEST > limits.max_pixels or size > limits.max_bytes
    if row["code"] is not None or not may_be or not path.lower().endswith(_SUFFIXES):
        return weight
    header = windowed_header(path, limits)
    return weight if header is None else max(weight, 3 * header.height * header.width)
