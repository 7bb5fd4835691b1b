"""Stored examples of a dataset, found by shard and position."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segflow.data.records import Record, decode_example, read_frames


def read_records(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Record | None]:
    """The stored examples at (`shard`, `position`) of `rows`; None where one cannot be read."""
    found = {
        (row["shard"], row["position"]): record for row, record in stream_records(folder, rows)
    }
    return [found.get((row["shard"], row["position"])) for row in rows]


def stream_records(
    folder: Path, rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Record]]:
    """The rows whose example can be read, each with it, shard by shard; one is in memory at a time.

    Each shard is read once, and no further than its last wanted record.
    """
    wanted: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        wanted.setdefault(row["shard"], {})[row["position"]] = row
    for shard, by_position in wanted.items():
        for position, record in _read_shard(folder / shard, set(by_position)):
            yield by_position[position], record


def _read_shard(path: Path, positions: set[int]) -> Iterator[tuple[int, Record]]:
    try:
        for position, data in enumerate(read_frames(path)):
            if position in positions:
                yield position, decode_example(data)
            if position >= max(positions):
                break
    except (OSError, ValueError):
        pass  # the page says in the picture's place that it cannot be read
