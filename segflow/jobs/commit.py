"""The commit: the pipeline's last step. Repeatable; needs no launcher, no lock, no clock."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segflow import storage
from segflow.errors import JobError
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import merge_sums
from segflow.jobs.run import Run

COMMITTED, OVER_BUDGET = "committed", "over_budget"


@dataclass(frozen=True)
class Outcome:
    """How a commit step ended: `committed` or `over_budget`, and the counts."""

    status: str
    listed: int
    accepted: int
    rejected: int
    rejected_by_code: dict[str, int]


def commit(job: Job, run: Run) -> Outcome:
    """Adds up the shards' records, publishes the files they name, writes the commit record.

    With more rejects than allowed only the rejects are published. Called again, by a retry
    or after a kill, it goes on where the last call stopped.

    Raises:
        JobError: A shard has no record, or the counts do not add up to the plan's.
    """
    records = list(_records(run))
    totals = add_up(records)
    if totals.listed != run.listed:
        raise JobError(
            f"run {run.name}: {run.listed} rows planned, but {totals.accepted} accepted and "
            f"{totals.rejected} rejected; please report this as a bug"
        )
    allowed = totals.rejected <= job.max_reject_fraction * totals.listed
    for record in records:
        rejects = job.rejects_path(run, run.shard(record["shard"]))
        for file in record["files"]:
            staged = run.folder / "staging" / record["attempt"] / file["path"]
            final = Path(run.output) / file["path"]
            if allowed:
                storage.publish(staged, final)
            elif file["path"] == rejects:
                storage.put(final, staged.read_bytes())  # a copy: a larger budget may yet commit
    if allowed:
        path = Path(run.output) / job.record_path(run)
        storage.put_if_absent(path, storage.to_json(job.record(run, totals)))
        job.after_commit(run)
        shutil.rmtree(run.folder / "staging", ignore_errors=True)
    outcome = Outcome(
        COMMITTED if allowed else OVER_BUDGET,
        totals.listed,
        totals.accepted,
        totals.rejected,
        dict(totals.rejected_by_code),
    )
    storage.put(run.folder / "outcome.json", storage.to_json(asdict(outcome)))
    return outcome


def add_up(records: list[dict[str, Any]]) -> Totals:
    """The totals of shard records, files in order of shard."""
    sums: dict[str, Any] = {}
    by_code: dict[str, int] = {}
    for record in records:
        merge_sums(sums, record["sums"])
        merge_sums(by_code, record["rejected_by_code"])
    return Totals(
        accepted=sum(r["accepted"] for r in records),
        rejected=sum(r["rejected"] for r in records),
        rejected_by_code=dict(sorted(by_code.items())),
        sums=sums,
        files=[file for record in records for file in record["files"]],
    )


def last_outcome(run: Run) -> Outcome | None:
    """How the run's last commit step ended; None if none has ended."""
    path = run.folder / "outcome.json"
    return Outcome(**storage.read_json(path)) if path.exists() else None


def _records(run: Run) -> Iterator[dict[str, Any]]:
    def read(index: int) -> dict[str, Any]:
        try:
            return dict(storage.read_json(run.record_path(index)))
        except FileNotFoundError as error:
            raise JobError(f"run {run.name}: shard {index} has no record; run again") from error

    with ThreadPoolExecutor(8) as pool:
        yield from pool.map(read, range(run.shard_count))
