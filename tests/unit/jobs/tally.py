"""A job for tests: it writes each row's number to a text file, and rejects what it is told to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from segflow import hashing, storage
from segflow.errors import RejectCode, RejectError
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import ShardOutput
from segflow.jobs.plan import PlanSummary, PlanWriter
from segflow.jobs.run import Run, Shard, new_name
from segflow.jobs.shard import finish_shard

BAD = -1  # a row of this number is rejected by the work, after reading it
RECORD = "tally.json"


@dataclass(frozen=True)
class TallyJob(Job):
    """Writes `data/part-*.txt`; with `per_run`, every run has files and a record of its own.

    `broken` names a file: while it exists, work on a row of its number fails.
    """

    max_reject_fraction: float = 0.05
    per_run: bool = False
    broken: Path | None = None
    name: str = "tally"
    format_version: int = 1

    def open(self) -> "TallyWork":
        return TallyWork(self)

    def prefix(self, run: Run) -> str:
        return f"{run.name}/" if self.per_run else ""

    def rejects_path(self, run: Run, shard: Shard) -> str:
        return f"{self.prefix(run)}rejects/part-{shard.index:05d}.parquet"

    def record_path(self, run: Run) -> str:
        return f"{self.prefix(run)}{RECORD}"

    def record(self, run: Run, totals: Totals) -> Mapping[str, Any]:
        return {
            "run": run.name,
            "inputs": totals.inputs(),
            "sum": totals.sums.get("sum", 0),
            "files": list(totals.files),
        }

    def after_commit(self, run: Run) -> None:
        (Path(run.output) / "derived.txt").write_text(run.name)


@dataclass(frozen=True)
class TallyWork:
    """One line a row."""

    job: TallyJob

    def __call__(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]], output: ShardOutput
    ) -> None:
        path = f"{self.job.prefix(output.run)}data/part-{shard.index:05d}.txt"
        kept = []
        for row in rows:
            self._break_at(row["number"])
            if row["number"] == BAD:
                output.reject(row, RejectError(RejectCode.UNREADABLE, "bad number"))
            else:
                output.accept()
                kept.append(row["number"])
        output.local_path(path).write_text("".join(f"{number}\n" for number in kept))
        output.add_file(path, len(kept))
        output.add_sums({"sum": sum(kept)})

    def close(self) -> None:
        pass

    def _break_at(self, number: int) -> None:
        broken = self.job.broken
        if broken is not None and broken.name == str(number) and broken.exists():
            raise OSError(5, "Input/output error")


def row(number: int, group: str = "all", code: str | None = None) -> dict[str, Any]:
    """A row of a plan; with `code`, planning has found that it must be rejected."""
    return {
        "shard_group": group,
        "weight": 1,
        "key": f"key {number}",
        "image_uri": f"/images/{number}",
        "number": number,
        "code": code,
        "message": code and f"because of {code}",
    }


SCHEMA = pa.schema(
    {
        "shard_group": pa.string(),
        "weight": pa.int64(),
        "key": pa.string(),
        "image_uri": pa.string(),
        "number": pa.int64(),
        "code": pa.string(),
        "message": pa.string(),
    }
)


def write_plan(folder: Path, rows: Iterable[Mapping[str, Any]], per_shard: int = 2) -> PlanSummary:
    """Writes a plan into a run's folder."""
    batches = pa.Table.from_pylist(list(rows), schema=SCHEMA).to_reader(max_chunksize=3)
    return PlanWriter(folder, lambda _: per_shard).write(batches)


def new_run(output: Path, rows: Iterable[Mapping[str, Any]], per_shard: int = 2) -> Run:
    """A planned run whose shards are all still to do."""
    name = new_name("0" * 64)
    summary = write_plan(output / "_runs" / name, rows, per_shard)
    run = Run(
        output=str(output),
        name=name,
        fingerprint="0" * 64,
        started="2026-01-02T03:04:05Z",
        groups=summary.groups,
        listed=summary.rows,
        config={},
        versions={},
        notes={},
    )
    run.save()
    return run


ALL = TallyJob(max_reject_fraction=1.0)
FEW = TallyJob(max_reject_fraction=0.1)
ROWS = [row(1), row(2), row(BAD), row(4), row(5, code="missing_mask")]
DATA = {f"data/part-0000{i}.txt" for i in range(3)}
REJECTS = {f"rejects/part-0000{i}.parquet" for i in (1, 2)}


def finished(output: Path, rows: list[dict] = ROWS, job: TallyJob = ALL) -> Run:
    """A run of three shards, two of them with a reject, all of them done."""
    run = new_run(output, rows)
    for index in range(run.shard_count):
        finish_shard(job, run, job.open(), index)
    return run


def only_run(output: Path) -> Run:
    """The one run that an output folder holds."""
    (folder,) = (f for f in (output / "_runs").iterdir() if f.is_dir())
    return Run.load(folder)


def require_whole(output: Path) -> None:
    """What a commit record lists is there, and as it says."""
    for file in storage.read_json(output / RECORD)["files"]:
        assert hashing.sha256_file(output / file["path"]) == file["sha256"]


class CutOffError(Exception):
    """A kill, as the code under test sees it."""


def visible(output: Path) -> dict[str, bytes]:
    """Every file that a reader sees, by its path."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file()
        and path.relative_to(output).parts[0] != "_runs"
        and not path.name.startswith(".")  # what a kill leaves of a file that is being written
    }
