"""Progress, as a log or a terminal shows it, read from the run's records."""

import io
import re
import time

import pytest
from rich.console import Console

from segflow.errors import RejectCode, RejectError
from segflow.jobs import output, progress
from segflow.jobs.output import ShardOutput
from segflow.jobs.run import Run
from segflow.jobs.shard import finish_shard
from tests.unit.jobs.tally import ALL, ROWS, new_run


@pytest.fixture
def run(tmp_path) -> Run:
    return new_run(tmp_path, ROWS)


def _wait_for(said: io.StringIO, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in said.getvalue():
        assert time.monotonic() < deadline, said.getvalue()
        time.sleep(0.01)


def test_a_log_gets_a_line_now_and_then(run, monkeypatch):
    monkeypatch.setattr(progress, "_POLL_S", 0.01)
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.02)
    said = io.StringIO()

    with progress.shown(run, "tally", Console(file=said, width=200)):
        _wait_for(said, "tally: 0 of 3 shards, 0 of 5 images, 0.0 images/s\n")
        finish_shard(ALL, run, ALL.open(), 1)
        _wait_for(said, "tally: 1 of 3 shards, 2 of 5 images, ")
        _wait_for(said, " s left\n")


def test_what_was_done_before_counts_as_done_but_not_for_the_speed(run, monkeypatch):
    monkeypatch.setattr(progress, "_POLL_S", 0.01)
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    finish_shard(ALL, run, ALL.open(), 0)
    said = io.StringIO()

    with progress.shown(run, "tally", Console(file=said, width=200)):
        _wait_for(said, "tally: 1 of 3 shards, 2 of 5 images, 0.0 images/s\n")


def test_rows_of_a_shard_under_way_count(run, monkeypatch):
    """A run of one shard would seem to stand still; what a dead launcher left does not count."""
    monkeypatch.setattr(progress, "_POLL_S", 0.01)
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    monkeypatch.setattr(output, "_PROGRESS_EVERY_S", 0.0)
    ShardOutput(run, run.new_attempt(1)).accept()
    said = io.StringIO()

    with progress.shown(run, "tally", Console(file=said, width=200)):
        _wait_for(said, "tally: 0 of 3 shards, 0 of 5 images, ")
        first, second = (ShardOutput(run, run.new_attempt(0)) for _ in range(2))
        first.accept()
        _wait_for(said, "tally: 0 of 3 shards, 1 of 5 images, ")
        second.accept()
        second.reject({}, RejectError(RejectCode.UNREADABLE, ""))
        _wait_for(said, "tally: 0 of 3 shards, 2 of 5 images, ")
        finish_shard(ALL, run, ALL.open(), 0)
        _wait_for(said, "tally: 1 of 3 shards, 2 of 5 images, ")


def test_a_short_job_says_nothing(run):
    said = io.StringIO()

    with progress.shown(run, "tally", Console(file=said)):
        pass

    assert said.getvalue() == ""


def test_a_terminal_gets_a_bar_that_ends_full(run):
    said = io.StringIO()
    console = Console(file=said, width=100, force_terminal=True)

    with progress.shown(run, "tally", console):
        for index in range(3):
            finish_shard(ALL, run, ALL.open(), index)

    assert re.search(r"5/5\S* images", said.getvalue())
    assert "images/s" in said.getvalue()


def test_what_is_counted_gets_lines_in_a_log_and_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    log, terminal = io.StringIO(), io.StringIO()

    for said, console in (
        (log, Console(file=log, width=200)),
        (terminal, Console(file=terminal, width=100, force_terminal=True)),
    ):
        batches = progress.counted([[1, 2], [3]], 3, "export", console)
        assert list(batches) == [[1, 2], [3]], said

    first, last = log.getvalue().splitlines()
    assert first.startswith("export: 2 of 3 images, ")
    assert last.startswith("export: 3 of 3 images, ")
    assert last.endswith("images/s, 0 s left")
    assert "3/3" in terminal.getvalue()
