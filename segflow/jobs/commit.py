"""The commit: the pipeline's last step. Repeatable; needs no launcher, no lock, no clock."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from segflow import storage
from segflow.errors import JobError
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import merge_sums
from segflow.jobs.run import RUNS_FOLDER, Run

COMMITTED, OVER_BUDGET = "committed", "over_budget"
_COMMITTED, _DISCARDED = "committed", "discarded"  # fates of a run

_Record = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a commit step of `run` ended: `committed` or `over_budget`, and the counts."""

    status: str
    run: str
    listed: int
    accepted: int
    rejected: int
    rejected_by_code: dict[str, int]


def commit(job: Job, run: Run) -> Outcome:
    """Adds up the shards' records, publishes the files they name, writes the commit record.

    With more rejects than allowed only the rejects are published. Called again, by a retry
    or after a kill, it goes on where the last call stopped.

    Raises:
        JobError: A shard has no record, the counts do not add up to the plan's, or another run
            publishes under the same names.
    """
    records = list(_records(run))
    totals = add_up(records)
    totals = replace(totals, files=[*totals.files, *run.files])
    if totals.listed != run.listed:
        raise JobError(
            f"run {run.name}: {run.listed} rows planned, but {totals.accepted} accepted and "
            f"{totals.rejected} rejected; please report this as a bug"
        )
    allowed = run.allowed_rejects(job.max_reject_fraction, totals.rejected_by_code)
    within_budget = totals.rejected <= allowed
    if within_budget or is_committed(job, run):
        _publish(job, run, records, totals)
        status = COMMITTED
    else:
        _publish_rejects(job, run, records)
        status = OVER_BUDGET
    by_code = dict(totals.rejected_by_code)
    outcome = Outcome(status, run.name, totals.listed, totals.accepted, totals.rejected, by_code)
    storage.put(run.folder / "outcome.json", storage.to_json(asdict(outcome)))
    return outcome


def add_up(records: Sequence[_Record]) -> Totals:
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


def is_committed(job: Job, run: Run) -> bool:
    """Whether the output's commit record is this run's."""
    return _committed_run(job, run) == run.name


def discard(job: Job, run: Run, kept: Run) -> None:
    """Removes a run that will not be gone on with, and what a cut-off commit has published of it.

    Only before `kept`, the run that takes its place, publishes. A run that is committed, or
    whose place a third one is taking, is left alone; one about to be committed is committed.
    Cut off, this can be done again.
    """
    claim = _claim_path(job, run)
    if not storage.put_if_absent(claim, kept.name.encode()):
        if _read(claim) not in (run.name, kept.name):
            return
        storage.put(claim, kept.name.encode())
    if not _settle(run, _DISCARDED):
        claim.unlink(missing_ok=True)
        commit(job, run)
    elif _committed_run(job, run) is None:
        _unpublish(_recorded_files(run))
        (run.folder / "run.json").unlink(missing_ok=True)  # without it, nobody goes on with it
        shutil.rmtree(run.folder, ignore_errors=True)
    else:
        _fate_path(run).unlink(missing_ok=True)
    claim.unlink(missing_ok=True)


def _settle(run: Run, fate: str) -> bool:
    """Decides once for all whether a run is committed or discarded; whether it is `fate`.

    A pipeline may outlive its launcher, and be about to commit when a new launcher discards.
    """
    path = _fate_path(run)
    while not storage.put_if_absent(path, fate.encode()):
        decided = _read(path)
        if decided is not None:  # else another caller has carried it out meanwhile
            return decided == fate
    return True


def _fate_path(run: Run) -> Path:
    # Outside the run's folder: it must be there when that is gone.
    return Path(run.output) / RUNS_FOLDER / f"fate-{run.name}"


def _recorded_files(run: Run) -> Iterator[tuple[Path, Path]]:
    yield from _planned_files(run)
    for name in storage.names_in(run.folder / "records"):
        yield from _files(run, storage.read_json(run.folder / "records" / name))


def _unpublish(files: Iterable[tuple[Path, Path]]) -> None:
    for staged, final in files:
        if final.exists():
            storage.publish(final, staged)
            with contextlib.suppress(OSError):
                final.parent.rmdir()  # unless something lies there


def _publish(job: Job, run: Run, records: Sequence[_Record], totals: Totals) -> None:
    claim = _claim(job, run)
    files = [*_planned_files(run), *(file for r in records for file in _files(run, r))]
    for staged, final in files:
        storage.publish(staged, final)
    content = storage.to_json(job.record(run, totals))  # it may take minutes
    # A committed run has no fate any more: a discard that comes too late may say one for a moment.
    if not _settle(run, _COMMITTED) and not is_committed(job, run):
        holder = _read(claim)
        if holder in (None, run.name):  # nobody else has published under these names
            _unpublish(files)
        raise _taken(run, holder)
    storage.put_if_absent(Path(run.output) / job.record_path(run), content)
    _fate_path(run).unlink(missing_ok=True)  # the record says it from here on
    job.after_commit(run)
    shutil.rmtree(run.staging, ignore_errors=True)
    claim.unlink(missing_ok=True)


def _publish_rejects(job: Job, run: Run, records: Sequence[_Record]) -> None:
    """Shows the rejects, and takes back what a commit under a larger budget had published."""
    _unpublish(_planned_files(run))
    for record in records:
        rejects = Path(run.output) / job.rejects_path(run, run.shard(record["shard"]))
        for staged, final in _files(run, record):
            if not staged.exists():
                storage.publish(final, staged)
            if final == rejects:
                storage.put(final, staged.read_bytes())  # a copy: a larger budget may yet commit


def _claim(job: Job, run: Run) -> Path:
    """Takes the names that the run publishes under, which others may want: the first has them."""
    claim = _claim_path(job, run)
    while not storage.put_if_absent(claim, run.name.encode()):
        holder = _read(claim)
        if holder == run.name:
            break
        if holder and (Path(run.output) / RUNS_FOLDER / holder).exists():
            raise _taken(run, holder)
        claim.unlink(missing_ok=True)
    # Only now: a commit drops its claim after its record is there.
    committed = _committed_run(job, run)
    if committed not in (None, run.name):
        claim.unlink(missing_ok=True)
        raise _taken(run, committed)
    return claim


def _claim_path(job: Job, run: Run) -> Path:
    return Path(run.output) / RUNS_FOLDER / f"claim-{job.record_path(run).replace('/', '-')}"


def _committed_run(job: Job, run: Run) -> str | None:
    """The run whose commit record lies where this run's would."""
    path = Path(run.output) / job.record_path(run)
    return storage.read_json(path)["run"] if path.exists() else None


def _taken(run: Run, other: str | None) -> JobError:
    return JobError(
        f"run {run.name}: another run, {other}, is committed or being committed to {run.output}; "
        "choose another --output"
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _files(run: Run, record: _Record) -> Iterator[tuple[Path, Path]]:
    """Where each file of a shard lies after the attempt that won, and where it is published."""
    for file in record["files"]:
        staged = run.staging / record["attempt"] / file["path"]
        yield staged, Path(run.output) / file["path"]


def _planned_files(run: Run) -> Iterator[tuple[Path, Path]]:
    """The same of the tables that the plan has made."""
    for file in run.files:
        yield run.planned / file["path"], Path(run.output) / file["path"]


def _records(run: Run) -> Iterator[_Record]:
    def read(index: int) -> _Record:
        try:
            return dict(storage.read_json(run.record_path(index)))
        except FileNotFoundError as error:
            raise JobError(f"run {run.name}: shard {index} has no record; run again") from error

    with ThreadPoolExecutor(8) as pool:
        yield from pool.map(read, range(run.shard_count))
