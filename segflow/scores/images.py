"""The scores of an evaluation, from its table of images: what commits and checks it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segflow import storage
from segflow.parts import connect, escaped
from segflow.scores.calibration import BINS, Reliability
from segflow.scores.tally import Tally

_GROUPS = 1000  # scored by themselves: those with most images
_ROWS_AT_ONCE = 64  # a matrix of 150 classes takes 180 kB
_MEMORY = "256MB"  # beyond it DuckDB spills to disk
_COLUMNS = [
    "key",
    "group",
    "confusion_matrix",
    "boundary_intersection",
    "boundary_union",
    "calibration_pixels",
    "calibration_hits",
    "calibration_confidence",
]


def score_images(
    folder: Path, files: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """All scores of an evaluation; a few rows are in memory at a time.

    Args:
        folder: The evaluation's.
        files: Its parts, as its commit record lists them; only `images/` are read.
        names: Of the classes.

    Returns:
        What `Tally.summary` gives, `groups` (how many there are; `by_group` has the 1,000 with
        most images), and `calibration`.
    """
    parts = [folder / file["path"] for file in files if file["path"].startswith("images/")]
    groups, count = _largest_groups(parts)
    tally, reliability = Tally(len(names), groups), Reliability.empty()
    for batch in _batches(parts):
        rows, classes = len(batch), len(names)
        boundary = [_integers(batch, f"boundary_{name}") for name in ("intersection", "union")]
        tally.add(
            batch.column("key").to_pylist(),
            _integers(batch, "confusion_matrix").reshape(rows, classes, classes),
            np.stack([counts.reshape(rows, classes) for counts in boundary], axis=1),
            batch.column("group").to_pylist(),
        )
        reliability += Reliability(
            _integers(batch, "calibration_pixels").reshape(rows, BINS).sum(0),
            _integers(batch, "calibration_hits").reshape(rows, BINS).sum(0),
            batch.column("calibration_confidence").flatten().to_numpy().reshape(rows, BINS).sum(0),
        )
    return {**tally.summary(names), "groups": count, "calibration": reliability.to_dict()}


def _batches(parts: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            yield from file.iter_batches(_ROWS_AT_ONCE, columns=_COLUMNS, use_threads=False)


def _integers(batch: pa.RecordBatch, column: str) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = batch.column(column).flatten().to_numpy()
    return counts


def _largest_groups(parts: Sequence[Path]) -> tuple[list[str], int]:
    """The groups with most images, and how many groups there are."""
    if not parts:
        return [], 0
    query = (
        'SELECT "group", count(*) OVER () FROM read_parquet($parts, hive_partitioning = false) '
        'WHERE "group" IS NOT NULL GROUP BY "group" ORDER BY count(*) DESC, "group" LIMIT $most'
    )
    with storage.scratch_folder() as spill, connect(_MEMORY, spill) as connection:
        files = [escaped(part) for part in parts]
        rows = connection.execute(query, {"parts": files, "most": _GROUPS}).fetchall()
    return [group for group, _ in rows], rows[0][1] if rows else 0
