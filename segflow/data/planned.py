"""Reading a plan of pairs again: its rows, a sample of them, a hash over its sources."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segflow import hashing
from segflow.jobs.plan import ROWS_AT_ONCE, PlanSummary

_FIRST = "first_tile_row"  # where rows of a plan were cut up
_SEVERAL = ("masks_bytes", "masks_mtime_ns")  # of several annotators


def sources_hash(plan: Path) -> str:
    """SHA-256 over what a plan lists, places apart: keys, sizes, times, annotations and so on."""
    digest = hashlib.sha256()
    columns = ["key", "image_bytes", "image_mtime_ns", "mask_bytes", "mask_mtime_ns", "code"]
    columns += ["annotation", "group", "ground_resolution", *_SEVERAL]
    for part in sorted(plan.iterdir()):
        with pq.ParquetFile(part) as file:
            there = columns + [_FIRST] * (_FIRST in file.schema_arrow.names)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=there):
                for row in batch.to_pylist():
                    if not row.pop(_FIRST, None):  # a picture that is cut up counts once
                        single = row["masks_bytes"] is None
                        kept = {k: v for k, v in row.items() if not (single and k in _SEVERAL)}
                        digest.update(hashing.canonical_json(kept))
    return digest.hexdigest()


def plan_rows(folder: Path, summary: PlanSummary) -> Iterator[dict[str, Any]]:
    """The rows of a plan in order, each with its `split`; one shard is in memory at a time."""
    splits = (split for split, shards in summary.groups.items() for _ in range(shards))
    for part in sorted((folder / "plan").iterdir()):
        with pq.ParquetFile(part) as file:
            for shard in range(file.num_row_groups):
                split = next(splits)
                for row in file.read_row_group(shard, use_threads=False).to_pylist():
                    yield {**row, "split": split}


def sample_rows(
    plan: Path, count: int, where: Callable[[Mapping[str, Any]], bool]
) -> Sequence[Any]:
    """The first `count` rows of a plan that `where` accepts; the plan's order is a hash's."""
    found: list[Any] = []
    for part in sorted(plan.iterdir()):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE):
                found.extend(row for row in batch.to_pylist() if where(row))
                if len(found) >= count:
                    return found[:count]
    return found
