"""What a sharded job must say of itself; the engine does the rest."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from segflow.jobs.output import ShardOutput
from segflow.jobs.run import Run, Shard


class ShardWork(Protocol):
    """The work of one worker: made once, called for shard after shard, closed at the end.

    The files it adds must be a pure function of `shard` and `rows`.
    """

    def __call__(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]], output: ShardOutput
    ) -> None:
        """Accepts or rejects every row, and adds the shard's files to `output`."""

    def close(self) -> None:
        """Releases what was opened."""


@dataclass(frozen=True)
class Totals:
    """The sum of all shards of a run.

    `sums` is a tree of integers, as the shards' works counted; `files` is every file in order
    of shard, as {`path`, `bytes`, `sha256`, `rows`}.
    """

    accepted: int
    rejected: int
    rejected_by_code: Mapping[str, int]
    sums: Mapping[str, Any]
    files: Sequence[Mapping[str, Any]]

    @property
    def listed(self) -> int:
        """Accepted + rejected."""
        return self.accepted + self.rejected

    def inputs(self) -> dict[str, Any]:
        """The `inputs` of a commit record."""
        return {
            "listed": self.listed,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "by_code": dict(self.rejected_by_code),
        }

    def files_under(self, prefix: str) -> list[Mapping[str, Any]]:
        """The files whose path starts with `prefix`."""
        return [file for file in self.files if file["path"].startswith(prefix)]


class Job(abc.ABC):
    """A sharded job: a small picklable object that workers receive.

    Attributes:
        name: `ingest`, `evaluate` or `label`; also the metrics' namespace.
        format_version: Of what it writes; a run of another is not gone on with.
        max_reject_fraction: More rejects than this share of the listed rows: no commit.
    """

    name: str
    format_version: int = 1
    max_reject_fraction: float

    @abc.abstractmethod
    def open(self) -> ShardWork:
        """Makes the worker's part; heavy objects are loaded here, not before."""

    @abc.abstractmethod
    def rejects_path(self, run: Run, shard: Shard) -> str:
        """Where the shard's rejects go, relative to the output folder."""

    @abc.abstractmethod
    def record_path(self, run: Run) -> str:
        """The commit record, relative to the output folder."""

    @abc.abstractmethod
    def record(self, run: Run, totals: Totals) -> Mapping[str, Any]:
        """The commit record: a pure function of its arguments and the files they name.

        These are published by then.
        """

    def after_commit(self, run: Run) -> None:  # noqa: B027 - most jobs need nothing more
        """Derived files that a reader can do without; repeatable."""
