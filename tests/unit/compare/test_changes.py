"""Comparing more masks than memory holds, and larger ones."""

import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.compare import changes
from segflow.compare.changes import image_changes
from segflow.data import mask_formats
from segflow.jobs.plan import connect
from segflow.label.selection import parts_sql

CLASSES = 3


def _masks(count: int, size: tuple[int, int], seed: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, CLASSES, (count, *size), dtype=np.uint8))


def _write(part: Path, masks: Sequence[np.ndarray], order: Sequence[int], padding: int) -> None:
    """A part of the table of images; behind each PNG comes padding, which decoders pass over."""
    part.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    stored = [
        mask_formats.store(masks[i], CLASSES, "png").data + noise.bytes(padding) for i in order
    ]
    columns = {
        "image_uri": [f"{i:04}.png" for i in order],
        "image_sha256": [str(i) for i in order],
        "height": [masks[i].shape[0] for i in order],
        "width": [masks[i].shape[1] for i in order],
        "mask": stored,
        "mask_format": ["png"] * len(order),
    }
    pq.write_table(pa.table(columns), part, row_group_size=20)


@contextmanager
def _sides(folder: Path, memory: str = "256MB") -> Iterator[duckdb.DuckDBPyConnection]:
    """What `Selection.load` makes of the parts in `a` and `b`."""
    with connect(folder / "spill") as connection:
        connection.execute(f"SET memory_limit = '{memory}'")
        for name in ("a", "b"):
            masks = parts_sql(sorted(folder.glob(f"{name}/run=1/*")))
            connection.execute(f"CREATE VIEW {name}_masks AS FROM {masks}")
            connection.execute(
                f"CREATE TABLE {name} AS SELECT image_uri, image_sha256, run FROM {name}_masks"
            )
        yield connection


@pytest.mark.parametrize("images_at_once", [7, 1000])
def test_more_masks_than_memory_in_any_order(tmp_path, monkeypatch, images_at_once):
    monkeypatch.setattr(changes, "ROWS_AT_ONCE", images_at_once)
    count, padding = 240, 200_000
    before, after = (_masks(count, (4, 5), seed) for seed in (1, 2))
    other_order = np.random.default_rng(3).permutation(count).tolist()
    for number in range(4):
        here = slice(number * 60, (number + 1) * 60)
        _write(tmp_path / f"a/run=1/part-{number}.parquet", before, range(count)[here], padding)
        _write(tmp_path / f"b/run=1/part-{number}.parquet", after, other_order[here], padding)

    with _sides(tmp_path, memory="32MB") as connection:  # of 48 MB of masks on each side
        rows = [row for some in image_changes(connection, CLASSES) for row in some]

    assert [row["image_uri"] for row in rows] == [f"{i:04}.png" for i in range(count)]
    for row, a, b in zip(rows, before, after, strict=True):
        counts = np.zeros((CLASSES, CLASSES), int)
        np.add.at(counts, (a, b), 1)
        assert row["transitions"] == counts.ravel().tolist()
        assert row["changed_pixels"] == (a != b).sum()


def test_counting_takes_little_more_than_the_masks(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_formats, "_PIXELS_AT_ONCE", 1 << 14)
    for name, seed in (("a", 1), ("b", 2)):
        _write(tmp_path / name / "run=1/part.parquet", _masks(1, (1000, 1000), seed), [0], 0)

    with _sides(tmp_path) as connection:
        tracemalloc.start()
        try:
            ((row,),) = image_changes(connection, CLASSES)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert sum(row["transitions"]) == 1_000_000
    assert peak < 8_000_000  # bytes, of two million pixels
