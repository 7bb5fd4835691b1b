"""Stored examples of a dataset, found by shard and position."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segflow.data.records import Record, decode_example, read_frames


def read_records(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Record | None]:
    """The stored examples at (`shard`, `position`) of `rows`; None where one cannot be read.

    Each shard is read once, and no further than its last wanted record.
    """
    wanted: dict[str, set[int]] = {}
    for row in rows:
        wanted.setdefault(row["shard"], set()).add(row["position"])
    found: dict[tuple[str, int], Record] = {}
    for shard, positions in wanted.items():
        found |= {(shard, p): record for p, record in _read_shard(folder / shard, positions)}
    return [found.get((row["shard"], row["position"])) for row in rows]


def _read_shard(path: Path, positions: set[int]) -> list[tuple[int, Record]]:
    records: list[tuple[int, Record]] = []
    try:
        for position, data in enumerate(read_frames(path)):
            if position in positions:
                records.append((position, decode_example(data)))
            if position >= max(positions):
                break
    except (OSError, ValueError):
        pass  # the page says in the picture's place that it cannot be read
    return records
