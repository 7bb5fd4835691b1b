"""The commit: whole or not at all, however often it is tried and wherever it is cut off."""

import shutil

import pytest

from segflow import storage
from segflow.errors import JobError
from segflow.jobs import commit as commits
from segflow.jobs.commit import COMMITTED, OVER_BUDGET, Outcome, commit, last_outcome
from tests.unit.jobs.tally import (
    ALL,
    DATA,
    FEW,
    RECORD,
    REJECTS,
    CutOffError,
    TallyJob,
    finished,
    new_run,
    only_run,
    require_whole,
    visible,
)


def test_files_are_published_and_listed_in_the_record(tmp_path):
    run = finished(tmp_path)

    outcome = commit(ALL, run)

    assert outcome == Outcome(COMMITTED, run.name, 5, 3, 2, {"missing_mask": 1, "unreadable": 1})
    assert visible(tmp_path).keys() == DATA | REJECTS | {RECORD, "derived.txt"}
    record = storage.read_json(tmp_path / RECORD)
    assert record["sum"] == 7
    assert record["inputs"] == {
        "listed": 5,
        "accepted": 3,
        "rejected": 2,
        "by_code": {"missing_mask": 1, "unreadable": 1},
    }
    assert {file["path"] for file in record["files"]} == DATA | REJECTS
    require_whole(tmp_path)


def test_the_outcome_is_kept_for_the_launcher(tmp_path):
    run = finished(tmp_path)
    assert last_outcome(run) is None

    outcome = commit(ALL, run)

    assert last_outcome(run) == outcome


def test_nothing_of_the_attempts_is_left(tmp_path):
    run = finished(tmp_path)
    (run.new_attempt(0) / "torn").touch()

    commit(ALL, run)

    assert not (run.folder / "staging").exists()
    assert [p.name for p in (tmp_path / "_runs").iterdir()] == [run.name]


def test_a_run_without_rows_is_committed(tmp_path):
    run = new_run(tmp_path, [])

    assert commit(ALL, run).status == COMMITTED
    assert storage.read_json(tmp_path / RECORD)["inputs"]["listed"] == 0


def test_an_unfinished_shard_stops_the_commit(tmp_path):
    run = finished(tmp_path)
    run.record_path(1).unlink()

    with pytest.raises(JobError, match="shard 1 has no record; run again"):
        commit(ALL, run)
    assert visible(tmp_path) == {}


def test_counts_that_are_not_the_plans_stop_the_commit(tmp_path):
    run = finished(tmp_path)
    record = storage.read_json(run.record_path(0))
    storage.put(run.record_path(0), storage.to_json({**record, "accepted": 1}))

    with pytest.raises(JobError, match="5 rows planned, but 2 accepted and 2 rejected"):
        commit(ALL, run)
    assert visible(tmp_path) == {}


def test_committing_again_changes_nothing(tmp_path):
    run = finished(tmp_path)
    first, there = commit(ALL, run), visible(tmp_path)

    assert commit(ALL, run) == first
    assert visible(tmp_path) == there


@pytest.mark.parametrize("job", [ALL, FEW], ids=["all", "few"])
def test_a_commit_that_was_cut_off_anywhere_is_completed_by_the_next(tmp_path, cut_off, job):
    original = tmp_path / "original"
    finished(original)
    shutil.copytree(original, tmp_path / "undisturbed")
    count = cut_off(-1)
    outcome = commit(job, only_run(tmp_path / "undisturbed"))
    expected, moments = visible(tmp_path / "undisturbed"), count[0]
    assert moments > 6

    for moment in range(1, moments + 1):
        output = tmp_path / str(moment)
        shutil.copytree(original, output)
        cut_off(moment)
        with pytest.raises(CutOffError):
            commit(job, only_run(output))
        assert visible(output).items() <= expected.items()
        if (output / RECORD).exists():
            require_whole(output)
        cut_off(-1)
        assert commit(job, only_run(output)) == outcome
        assert visible(output) == expected


def test_with_too_many_rejects_only_they_are_published(tmp_path):
    run = finished(tmp_path)

    outcome = commit(FEW, run)

    assert outcome.status == OVER_BUDGET
    assert (outcome.accepted, outcome.rejected) == (3, 2)
    assert visible(tmp_path).keys() == REJECTS
    assert last_outcome(run) == outcome


def test_the_budget_is_a_share_that_may_be_used_up(tmp_path):
    run = finished(tmp_path)

    assert commit(TallyJob(max_reject_fraction=0.39), run).status == OVER_BUDGET
    assert commit(TallyJob(max_reject_fraction=0.4), run).status == COMMITTED


def test_a_larger_budget_commits_what_was_done_under_a_smaller_one(tmp_path):
    run = finished(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    commit(FEW, run)

    assert commit(ALL, run).status == COMMITTED
    commit(ALL, only_run(tmp_path / "b"))
    assert visible(tmp_path / "a") == visible(tmp_path / "b")


@pytest.mark.parametrize("moment", [1, 2, 5, 8, 11])
def test_a_smaller_budget_withdraws_what_a_cut_off_commit_had_published(tmp_path, cut_off, moment):
    run = finished(tmp_path)
    cut_off(moment)
    with pytest.raises(CutOffError):
        commit(ALL, run)
    cut_off(-1)
    assert not (tmp_path / RECORD).exists()

    assert commit(FEW, run).status == OVER_BUDGET
    assert visible(tmp_path).keys() == REJECTS
    assert commit(ALL, run).status == COMMITTED
    require_whole(tmp_path)


def test_what_is_committed_stays_so_whatever_the_budget(tmp_path):
    run = finished(tmp_path)
    commit(ALL, run)
    there = visible(tmp_path)

    assert commit(FEW, run).status == COMMITTED
    assert visible(tmp_path) == there


def test_records_add_up_in_order_of_shard():
    records = [
        {
            "accepted": i,
            "rejected": 1,
            "rejected_by_code": {code: 1},
            "sums": {"a": {"b": i}},
            "files": [{"path": f"{i}"}],
        }
        for i, code in ((1, "unreadable"), (2, "missing_mask"), (3, "unreadable"))
    ]

    totals = commits.add_up(records)

    assert (totals.accepted, totals.rejected, totals.listed) == (6, 3, 9)
    assert list(totals.rejected_by_code.items()) == [("missing_mask", 1), ("unreadable", 2)]
    assert totals.sums == {"a": {"b": 6}}
    assert [file["path"] for file in totals.files] == ["1", "2", "3"]
