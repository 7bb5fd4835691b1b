"""The launcher: plans a run or goes on with one, and says how it ended."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from segflow import storage
from segflow.errors import JobError, RejectBudgetError, UsageError
from segflow.jobs import runner
from segflow.jobs.commit import COMMITTED, Outcome, commit
from segflow.jobs.launch import Launch, Planned
from segflow.jobs.run import Run, complete_runs
from segflow.jobs.shard import finish_shard
from segflow.lock import lock
from tests.unit.jobs.tally import (
    ALL,
    BAD,
    FEW,
    RECORD,
    REJECTS,
    ROWS,
    CutOffError,
    TallyJob,
    require_whole,
    row,
    visible,
    write_plan,
)

GOOD = [row(i) for i in range(6)]


@pytest.fixture(autouse=True)
def worked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces Beam by a loop; the numbers of the shards that were not found done."""
    done: list[int] = []

    def work_off(job: TallyJob, run: Run, flags: Sequence[str]) -> None:
        for index in range(run.shard_count):
            try:
                result = finish_shard(job, run, job.open(), index)
            except OSError as error:
                raise JobError("the pipeline failed") from error
            done.extend([index] if result.worked else [])
        commit(job, run)

    monkeypatch.setattr(runner, "work_off", work_off)
    return done


def _launch(
    output: Path,
    rows: Sequence[Mapping[str, Any]] | None = GOOD,
    job: TallyJob = ALL,
    config: Mapping[str, Any] | None = None,
    said: io.StringIO | None = None,
) -> Outcome | None:
    def plan(folder: Path) -> Planned | None:
        if rows is None:
            return None
        return Planned(write_plan(folder, rows), {"note": 1})

    console = Console(file=said or io.StringIO(), width=200)
    return Launch(job, output, config or {}, ("numpy",), plan)(console)


def _fail_on_planning(folder: Path) -> Planned:
    raise UsageError("no images found")


def test_a_new_run_is_planned_worked_off_and_committed(tmp_path, worked):
    outcome = _launch(tmp_path / "deep/output", config={"size": (1, 2)})

    assert outcome is not None
    assert (outcome.status, outcome.listed, outcome.rejected) == (COMMITTED, 6, 0)
    assert worked == [0, 1, 2]
    (run,) = complete_runs(tmp_path / "deep/output")
    assert run.name == outcome.run
    assert run.config == {"size": [1, 2]}
    assert run.versions.keys() == {"segflow", "numpy"}
    assert run.notes["note"] == 1
    assert run.started == f"{run.name[:4]}-{run.name[4:6]}-{run.name[6:8]}T" + ":".join(
        run.name[i : i + 2] for i in (9, 11, 13)
    ) + "Z"  # fmt: skip
    require_whole(tmp_path / "deep/output")


def test_nothing_to_do_leaves_nothing_behind(tmp_path):
    assert _launch(tmp_path / "output", rows=None) is None
    assert not (tmp_path / "output").exists()


def test_bad_input_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="no images found"):
        Launch(ALL, tmp_path / "output", {}, (), _fail_on_planning)(Console(file=io.StringIO()))
    assert not (tmp_path / "output").exists()


def test_a_failed_run_is_gone_on_with(tmp_path, worked):
    broken = tmp_path / "3"
    broken.touch()
    job = TallyJob(broken=broken)
    with pytest.raises(JobError, match="the pipeline failed"):
        _launch(tmp_path / "output", job=job)
    assert worked == [0]
    assert visible(tmp_path / "output") == {}
    broken.unlink()

    said = io.StringIO()
    outcome = _launch(tmp_path / "output", rows=None, job=job, said=said)

    (run,) = complete_runs(tmp_path / "output")
    assert said.getvalue() == f"tally: going on with run {run.name}\n"
    assert outcome is not None and outcome.accepted == 6  # of the plan made before
    assert worked == [0, 1, 2]


@pytest.mark.parametrize("change", ["config", "library", "format"])
def test_another_config_library_or_format_starts_a_new_run_and_gives_up_the_old(
    tmp_path, worked, monkeypatch, change
):
    broken = tmp_path / "3"
    broken.touch()
    with pytest.raises(JobError):
        _launch(tmp_path / "output", job=TallyJob(broken=broken), config={"seed": 0})
    (old,) = complete_runs(tmp_path / "output")
    if change == "library":
        monkeypatch.setattr("segflow.jobs.launch.version", lambda _: "99.0")

    said, job = io.StringIO(), TallyJob(format_version=2 if change == "format" else 1)
    _launch(tmp_path / "output", job=job, config={"seed": int(change == "config")}, said=said)

    told = f"run {old.name}, refused or of other settings or versions, is removed"
    assert told in said.getvalue()
    (new,) = complete_runs(tmp_path / "output")
    assert new.fingerprint != old.fingerprint
    assert worked == [0, 0, 1, 2]


def test_a_new_run_takes_back_what_an_old_one_had_published(tmp_path, monkeypatch):
    publish = storage.publish

    def publish_two(source: Path, destination: Path) -> None:
        if len(visible(tmp_path)) == 2:
            raise CutOffError
        publish(source, destination)

    with monkeypatch.context() as patch, pytest.raises(CutOffError):
        patch.setattr(storage, "publish", publish_two)
        _launch(tmp_path, config={"seed": 0})
    assert visible(tmp_path).keys() == {"data/part-00000.txt", "data/part-00001.txt"}

    _launch(tmp_path, config={"seed": 1}, rows=[row(1)])

    assert visible(tmp_path).keys() == {"data/part-00000.txt", RECORD, "derived.txt"}


def test_a_run_with_a_record_of_its_own_waits_for_its_config_to_come_back(tmp_path, worked):
    broken = tmp_path / "3"
    broken.touch()
    job, output = TallyJob(broken=broken, per_run=True), tmp_path / "output"
    with pytest.raises(JobError):
        _launch(output, job=job, config={"model": "a"})
    broken.unlink()
    _launch(output, job=job, config={"model": "b"}, rows=[row(9)])

    outcome = _launch(output, rows=None, job=job, config={"model": "a"})

    first, second = complete_runs(output)
    assert outcome is not None and outcome.run == first.name
    assert {(output / run.name / RECORD).exists() for run in (first, second)} == {True}


def test_a_half_planned_run_is_removed(tmp_path):
    half = tmp_path / "_runs/20200101T000000.000000Z-00000000"
    (half / "plan").mkdir(parents=True)

    _launch(tmp_path)

    assert not half.exists()


def test_what_a_killed_writer_left_is_removed(tmp_path):
    scraps = [tmp_path / f"_runs/{name}.{'0' * 32}" for name in (".lock.json", "r/records/.0.json")]
    for scrap in scraps:
        storage.put(scrap, b"half")

    _launch(tmp_path)

    assert not [path for path in tmp_path.rglob(".*") if path in scraps]


def test_too_many_rejects_end_with_their_numbers_and_place(tmp_path):
    with pytest.raises(RejectBudgetError) as caught:
        _launch(tmp_path, rows=ROWS, job=FEW)

    assert caught.value.exit_code == 3
    message = str(caught.value)
    assert "2 of 5 inputs rejected (1 missing_mask, 1 unreadable)" in message
    assert "--max-reject-fraction 0.1" in message
    assert str(tmp_path / "rejects") in message
    assert visible(tmp_path).keys() == REJECTS


def test_a_larger_budget_goes_on_with_what_is_done(tmp_path, worked):
    with pytest.raises(RejectBudgetError):
        _launch(tmp_path, rows=ROWS, job=FEW)
    del worked[:]

    outcome = _launch(tmp_path, rows=None, job=ALL)

    assert outcome is not None and outcome.status == COMMITTED
    assert worked == []


def test_under_the_same_budget_the_inputs_are_looked_at_anew(tmp_path):
    """They may have been mended."""
    with pytest.raises(RejectBudgetError):
        _launch(tmp_path, rows=ROWS, job=FEW)

    _launch(tmp_path, rows=GOOD, job=FEW)

    assert len(complete_runs(tmp_path)) == 1
    assert not visible(tmp_path).keys() & REJECTS


def test_a_run_that_a_later_one_made_obsolete_is_not_gone_on_with(tmp_path):
    few, everything = (TallyJob(max_reject_fraction=f, per_run=True) for f in (0.1, 1.0))
    with pytest.raises(RejectBudgetError):
        _launch(tmp_path, rows=ROWS, job=few)
    (obsolete,) = complete_runs(tmp_path)
    _launch(tmp_path, rows=GOOD, job=few)

    outcome = _launch(tmp_path, rows=[row(BAD)], job=everything)

    assert outcome is not None and outcome.run != obsolete.name
    assert not any(name.startswith(obsolete.name) for name in visible(tmp_path))


def test_a_commit_that_was_cut_off_behind_its_record_is_completed(tmp_path, monkeypatch):
    job = TallyJob(per_run=True)

    def die(*_: object) -> None:
        raise CutOffError

    with monkeypatch.context() as patch, pytest.raises(CutOffError):
        patch.setattr(TallyJob, "after_commit", die)
        _launch(tmp_path, job=job)
    (run,) = complete_runs(tmp_path)
    assert (tmp_path / run.name / RECORD).exists()

    outcome = _launch(tmp_path, rows=None, job=job)

    assert outcome is not None and outcome.run == run.name
    assert (tmp_path / "derived.txt").read_text() == run.name
    assert not (run.folder / "staging").exists()
    assert _launch(tmp_path, rows=None, job=job) is None


def test_a_run_whose_output_was_removed_is_done_anew(tmp_path):
    _launch(tmp_path)
    for name in visible(tmp_path):
        (tmp_path / name).unlink()

    _launch(tmp_path)

    require_whole(tmp_path)


def test_a_pipeline_that_ends_without_a_commit_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "work_off", lambda *_: None)

    with pytest.raises(JobError, match="without a commit"):
        _launch(tmp_path)


def test_while_a_run_is_at_work_a_second_is_refused(tmp_path):
    with lock(tmp_path, "_runs"), pytest.raises(UsageError, match="is at work there"):
        _launch(tmp_path)


def test_a_new_run_is_newer_than_all_others_whatever_the_clock_says(tmp_path):
    job = TallyJob(per_run=True)
    _launch(tmp_path, job=job)
    (run,) = complete_runs(tmp_path)
    ahead = f"2999{run.name[4:]}"
    run.folder.rename(tmp_path / "_runs" / ahead)
    storage.put(
        tmp_path / "_runs" / ahead / "run.json",
        storage.to_json(
            {**storage.read_json(tmp_path / "_runs" / ahead / "run.json"), "name": ahead}
        ),
    )

    outcome = _launch(tmp_path, rows=[row(1)], job=job)

    assert outcome is not None and outcome.run > ahead
