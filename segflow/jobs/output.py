"""What one attempt at a shard has made: files, counts, rejects; and its record."""

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segflow import hashing, storage
from segflow.errors import RejectError
from segflow.jobs.run import Run

# Readers work group by group: large enough for few seeks, small enough to hold several at once.
_ROW_GROUP_BYTES = 64 << 20

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), metadata={"description": "key of the refused input"}),
        pa.field("image_uri", pa.string(), metadata={"description": "as listed; or null"}),
        pa.field("mask_uri", pa.string(), metadata={"description": "null when labelling"}),
        pa.field("code", pa.string(), metadata={"description": "why, one word"}),
        pa.field("message", pa.string(), metadata={"description": "why, one sentence"}),
    ]
)


PROGRESS_NAME = "rows-done"
"""In an attempt's folder: how many rows it has dealt with, now and then; for those who watch."""

_PROGRESS_EVERY_S = 2.0


@dataclass
class ShardOutput:
    """Collects the outcome of one attempt at a shard of `run` in `folder`, which no reader sees."""

    run: Run
    folder: Path
    accepted: int = 0
    sums: dict[str, Any] = field(default_factory=dict)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    _files: list[dict[str, Any]] = field(default_factory=list)
    _said: float = field(default_factory=time.monotonic)

    def accept(self) -> None:
        """Counts one row as accepted."""
        self.accepted += 1
        self._say_progress()

    def reject(self, row: Mapping[str, Any], error: RejectError) -> None:
        """Counts one row as rejected and keeps why."""
        reject = {name: row.get(name) for name in ("key", "image_uri", "mask_uri")}
        self.rejects.append({**reject, "code": str(error.code), "message": str(error)})
        self._say_progress()

    def add_sums(self, sums: Mapping[str, Any]) -> None:
        """Adds a tree of integers to the shard's sums."""
        merge_sums(self.sums, sums)

    def local_path(self, final: str) -> Path:
        """Where to write the file that will be published as `final`; add it when it is whole."""
        path = self.folder / final
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add_file(self, final: str, rows: int) -> None:
        """Seals the file written at `local_path(final)`: hash, size, and down to the disk."""
        self._files.append(sealed(self.folder, final, rows))

    def add_table(
        self, final: str, table: pa.Table, dictionaries: Sequence[str] | None = None
    ) -> None:
        """Writes and seals a Parquet table: zstd, statistics, row groups of about 64 MiB.

        Args:
            final: The name under which the file will be published.
            table: Its rows.
            dictionaries: Columns whose values come again and again; None: all are tried. With
                them, columns of bytes get no statistics, of which nobody can make any use.
        """
        options: dict[str, Any] = {}
        if dictionaries is not None:
            counted = [f.name for f in table.schema if not pa.types.is_binary(f.type)]
            options = {"use_dictionary": list(dictionaries), "write_statistics": counted}
        rows = len(table) * _ROW_GROUP_BYTES // max(1, table.nbytes)
        pq.write_table(
            table,
            self.local_path(final),
            compression="zstd",
            row_group_size=max(1, min(rows, len(table))),
            **options,
        )
        self.add_file(final, len(table))

    def _say_progress(self) -> None:
        if time.monotonic() - self._said >= _PROGRESS_EVERY_S:
            self._said = time.monotonic()
            done = self.accepted + len(self.rejects)
            with contextlib.suppress(OSError):  # for people to see; no work may fail for it
                storage.put(self.folder / PROGRESS_NAME, str(done).encode())

    def record(self) -> dict[str, Any]:
        """The shard's record, without its address."""
        return {
            "attempt": self.folder.name,
            "accepted": self.accepted,
            "rejected": len(self.rejects),
            "rejected_by_code": dict(sorted(Counter(r["code"] for r in self.rejects).items())),
            "sums": self.sums,
            "files": self._files,
        }


def sealed(folder: Path, final: str, rows: int) -> dict[str, Any]:
    """A record's entry of a file that is whole, and that is down on the disk from now on.

    Args:
        folder: Where it lies.
        final: Its path there, and in the output.
        rows: How many it has.
    """
    path = folder / final
    storage.sync(path)
    return {
        "path": final,
        "bytes": path.stat().st_size,
        "sha256": hashing.sha256_file(path),
        "rows": rows,
    }


def merge_sums(into: dict[str, Any], sums: Mapping[str, Any]) -> None:
    """Adds a tree of integers to another in place; a missing branch counts as zero."""
    for key, value in sums.items():
        if isinstance(value, Mapping):
            merge_sums(into.setdefault(key, {}), value)
        else:
            into[key] = into.get(key, 0) + int(value)
