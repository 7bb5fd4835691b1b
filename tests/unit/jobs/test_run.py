"""Runs: what is kept of them, and which are complete."""

import pytest

from segflow.errors import JobError
from segflow.jobs.run import Run, complete_runs, new_name
from tests.unit.jobs.tally import new_run, row


def test_a_run_is_read_back_as_it_was_saved(tmp_path):
    run = new_run(tmp_path, [row(1), row(2), row(3)])

    assert Run.load(run.folder) == run


def test_an_output_that_was_moved_is_read_where_it_lies(tmp_path):
    run = new_run(tmp_path / "old", [row(1)])
    (tmp_path / "old").rename(tmp_path / "new")

    (moved,) = complete_runs(tmp_path / "new")

    assert moved.output == str(tmp_path / "new")
    assert moved.name == run.name
    assert len(moved.rows(0)) == 1


def test_only_runs_whose_plan_is_complete_are_found_oldest_first(tmp_path):
    runs = [new_run(tmp_path, [row(1)]) for _ in range(3)]
    (tmp_path / "_runs/half-planned/plan").mkdir(parents=True)
    (tmp_path / "_runs/lock.json").touch()

    assert complete_runs(tmp_path) == runs
    assert complete_runs(tmp_path / "nothing") == []


def test_names_sort_by_time_and_say_which_config():
    names = [new_name(f"{i}" * 64) for i in range(5)]

    assert names == sorted(names)
    assert [name[-8:] for name in names] == [f"{i}" * 8 for i in range(5)]


def test_a_name_comes_after_the_newest_though_the_clock_is_behind():
    newest = "29991231T235959.999999Z-00000000"

    assert new_name("1" * 64, newest) == "30000101T000000.000000Z-11111111"
    assert new_name("1" * 64, "20200101T000000.000000Z-00000000") > "2021"


def test_attempts_have_folders_of_their_own(tmp_path):
    run = new_run(tmp_path, [row(1)])

    first, second = run.new_attempt(0), run.new_attempt(0)

    assert first != second
    assert first.parent == second.parent == run.folder / "staging"


def test_a_run_is_called_as_its_folder_is(tmp_path):
    """Its files are written under that name."""
    run = new_run(tmp_path, [row(1)])
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace(run.name, "../../out"))
    with pytest.raises(JobError, match="it calls itself the run"):
        Run.load(run.folder)
