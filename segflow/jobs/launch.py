"""The launcher: plans a run or finds one to go on with, has it worked off, says how it ended."""

import json
import shutil
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow import hashing, storage
from segflow.errors import JobError, RejectBudgetError, UsageError
from segflow.jobs import progress
from segflow.jobs.commit import OVER_BUDGET, Outcome, discard, is_committed, last_outcome
from segflow.jobs.job import Job
from segflow.jobs.plan import PlanSummary
from segflow.jobs.run import RUNS_FOLDER, Run, complete_runs, new_name
from segflow.lock import lock


@dataclass(frozen=True)
class Planned:
    """A finished plan, and what the commit record repeats of how it was made.

    `files` are tables in the run's folder `planned` that are published with those of the shards.
    """

    summary: PlanSummary
    notes: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Launch:
    """A job to be run into an output folder.

    Attributes:
        job: The job.
        output: The output folder.
        config: What decides the output's bytes, as recorded.
        libraries: Distributions whose version decides the output's bytes.
        plan: Writes a plan into the run folder it is given; None if there is nothing to do.
        flags: Beam's flags.
    """

    job: Job
    output: Path
    config: Mapping[str, Any]
    libraries: Sequence[str]
    plan: Callable[[Path], Planned | None]
    flags: Sequence[str] = ()

    @property
    def versions(self) -> dict[str, str]:
        """Versions of segflow and of `libraries`."""
        return {name: version(name) for name in ("segflow", *self.libraries)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over job, config and versions: equal ones may continue each other's runs."""
        return hashing.fingerprint(
            {
                "job": self.job.name,
                "format_version": self.job.format_version,
                "config": self.config,
                "versions": self.versions,
            }
        )

    def __call__(self, console: Console) -> Outcome | None:
        """Runs the job, going on with an unfinished run of the same config where there is one.

        Returns:
            How it ended; None if there was nothing to do.

        Raises:
            UsageError: Another run is at work in the folder, or planning found bad input.
            RejectBudgetError: More rejects than allowed; only they are published.
            JobError: The pipeline failed.
        """
        with lock(self.output, RUNS_FOLDER):
            storage.remove_scraps(self.output)
            _remove_half_planned(self.output)
            self._refuse_other_job()
            run = self._unfinished_run()
            if run is not None:
                console.print(f"{self.job.name}: going on with run {run.name}")
            else:
                run = self._plan_new_run()
            if run is None:
                return None
            self._discard_superseded(run, console)
            return self._finish(run, console)

    def _refuse_other_job(self) -> None:
        for run in complete_runs(self.output):
            if run.notes.get("job", self.job.name) != self.job.name:
                raise UsageError(
                    f"--output {self.output}: holds a run of segflow {run.notes['job']}; "
                    "choose another folder"
                )

    def _unfinished_run(self) -> Run | None:
        """The newest run of this config, unless it is committed or was refused as it would be now.

        A run is over with its outcome, not with its commit record: what follows the record may
        be missing.
        """
        runs = [run for run in complete_runs(self.output) if run.fingerprint == self.fingerprint]
        if not runs:
            return None
        outcome = last_outcome(runs[-1])
        if outcome is None:
            return runs[-1]
        allowed = runs[-1].allowed_rejects(self.job.max_reject_fraction, outcome.rejected_by_code)
        within_budget = outcome.rejected <= allowed
        return runs[-1] if outcome.status == OVER_BUDGET and within_budget else None

    def _discard_superseded(self, kept: Run, console: Console) -> None:
        """Removes the runs that will never be committed now: refused ones, and of other configs.

        Where each run has a commit record of its own, those of other configs may yet be.
        """
        record = self.job.record_path(kept)
        for run in complete_runs(self.output):
            superseded = run.fingerprint == kept.fingerprint or self.job.record_path(run) == record
            if run.name != kept.name and superseded and not is_committed(self.job, run):
                console.print(
                    f"{self.job.name}: run {run.name}, refused or of other settings or versions, "
                    "is removed; its work is done anew",
                    highlight=False,
                    markup=False,
                )
                discard(self.job, run, kept)

    def _plan_new_run(self) -> Run | None:
        others = complete_runs(self.output)
        name = new_name(self.fingerprint, newest=others[-1].name if others else None)
        folder = self.output / RUNS_FOLDER / name
        folder.mkdir(parents=True)
        try:
            planned = self.plan(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if planned is None:
            shutil.rmtree(folder)
            return None
        run = Run(
            output=str(self.output),
            name=name,
            fingerprint=self.fingerprint,
            started=f"{name[:4]}-{name[4:6]}-{name[6:8]}T{name[9:11]}:{name[11:13]}:{name[13:15]}Z",
            groups=planned.summary.groups,
            listed=planned.summary.rows,
            config=self.config,
            versions=self.versions,
            notes={**planned.notes, "job": self.job.name},
            files=planned.files,
        )
        run.save()
        return run

    def _finish(self, run: Run, console: Console) -> Outcome:
        # Beam takes a second to import: not before something is to be run.
        from segflow.jobs.runner import work_off

        (run.folder / "outcome.json").unlink(missing_ok=True)
        with progress.shown(run, self.job.name, console):
            work_off(self.job, run, self.flags)
        outcome = last_outcome(run)
        if outcome is None:
            raise JobError("the pipeline ended without a commit; run the same command again")
        if outcome.status == OVER_BUDGET:
            raise RejectBudgetError(_over_budget_message(self.job, run, outcome))
        return outcome


def refuse_other_output(output: Path, record_name: str, config: Mapping[str, Any]) -> None:
    """Refuses a folder whose committed output was made with another config.

    Raises:
        UsageError: It was, and the message names the first difference; or the record is none.
    """
    try:
        there = dict(storage.read_json(output / record_name)["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--output {output}: its {record_name} is not of this command; choose another folder"
        ) from error
    here = json.loads(hashing.canonical_json(config))  # tuples are lists there
    for name, found, asked in _differences(there, here):
        raise UsageError(
            f"--output {output}: its {record_name} is of other settings: {name} is {found} there "
            f"and {asked} here; choose another folder"
        )


def _differences(
    there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    for name, value in here.items():
        found = there.get(name)
        if isinstance(found, Mapping) and isinstance(value, Mapping):
            yield from _differences(found, value, f"{prefix}{name}.")
        elif found != value:
            yield f"{prefix}{name}", _brief(found), _brief(value)


def _brief(value: Any) -> str:
    return textwrap.shorten(str(value), 120, placeholder=" …")


def require_free(output: Path, own: Collection[str], mark: str = RUNS_FOLDER) -> None:
    """Refuses an output folder with foreign content.

    Args:
        output: The folder.
        own: What an unfinished run may have left.
        mark: A folder in it by which one that such a run has left is known.

    Raises:
        UsageError: The output is a file, or something else lies there.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output}: is a file; expected a folder or nothing")
    allowed = {mark, *own} if (output / mark).is_dir() else set()
    foreign = [name for name in storage.names_in(output) if name not in allowed]
    if foreign:
        raise UsageError(
            f"--output {output}: is not empty and holds no finished output of this command "
            f"({foreign[0]!r} lies there); choose another folder"
        )


def _remove_half_planned(output: Path) -> None:
    complete = {run.name for run in complete_runs(output)}
    for folder in (output / RUNS_FOLDER).iterdir():
        if folder.is_dir() and folder.name not in complete:
            shutil.rmtree(folder, ignore_errors=True)


def _over_budget_message(job: Job, run: Run, outcome: Outcome) -> str:
    codes = ", ".join(f"{n} {code}" for code, n in outcome.rejected_by_code.items())
    rejects = Path(run.output) / job.rejects_path(run, run.shard(0))
    return (
        f"{outcome.rejected} of {outcome.listed} inputs rejected ({codes}), more than "
        f"--max-reject-fraction {job.max_reject_fraction} allows; nothing was committed. See "
        f"{rejects.parent}, then mend the inputs, or allow more (the finished work is then kept)"
    )
