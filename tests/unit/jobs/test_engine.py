"""The engine's transform, built without running and run in this process."""

import io
import pickle
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from rich.console import Console

from segflow.errors import JobError
from segflow.jobs.commit import COMMITTED, last_outcome
from segflow.jobs.engine import RunShards
from segflow.jobs.launch import Launch, Planned
from segflow.jobs.run import Run, complete_runs
from segflow.jobs.runner import work_off
from segflow.jobs.shard import finish_shard
from tests.unit.jobs.tally import (
    ALL,
    FEW,
    RECORD,
    ROWS,
    TallyJob,
    new_run,
    row,
    visible,
    write_plan,
)

IN_MEMORY = ("--direct_running_mode=in_memory", "--direct_num_workers=1")


def _pipeline(run: Run, job: TallyJob = ALL) -> beam.Pipeline:
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(list(IN_MEMORY)))
    _ = pipeline | RunShards(job, run)
    return pipeline


def _counters(result: beam.runners.runner.PipelineResult) -> dict[str, int]:
    found = result.metrics().query(MetricsFilter().with_namespace("segflow/tally"))
    return {counter.key.metric.name: counter.committed for counter in found["counters"]}


def test_the_graph_is_built_without_touching_the_disk(tmp_path):
    run = Run(str(tmp_path / "no/such"), "r", "f", "t", {"all": 2500}, 5000, {}, {}, {})

    pipeline = beam.Pipeline(runner=FnApiRunner())
    outcome = pipeline | RunShards(ALL, run)

    assert outcome.element_type.__name__ == "Outcome"
    labels = [node.full_label for node in _transforms(pipeline)]
    assert len(set(labels)) == len(labels)
    for step in ("Spans", "Shards", "Spread", "Work", "Wait", "Commit"):
        assert f"RunShards/{step}" in labels
    assert not (tmp_path / "no").exists()


def _transforms(pipeline: beam.Pipeline) -> Iterator[beam.pipeline.AppliedPTransform]:
    pending = list(pipeline.transforms_stack)
    while pending:
        node = pending.pop()
        pending += node.parts
        yield node


def test_what_is_sent_to_the_workers_is_small(tmp_path):
    """However many rows and shards there are, only the run's address travels."""
    rows = [row(i) for i in range(300)]

    assert len(pickle.dumps((ALL, new_run(tmp_path, rows, per_shard=1)))) < 2000


def test_shards_are_worked_off_counted_and_committed(tmp_path):
    run = new_run(tmp_path, ROWS)

    result = _pipeline(run).run()
    result.wait_until_finish()

    assert _counters(result) == {
        "accepted": 3,
        "rejected": 2,
        "rejected_missing_mask": 1,
        "rejected_unreadable": 1,
        "shards_done": 3,
    }
    assert (tmp_path / RECORD).exists()
    outcome = last_outcome(run)
    assert outcome is not None and outcome.status == COMMITTED


def test_shards_that_are_done_are_found_and_not_counted_again(tmp_path):
    run = new_run(tmp_path, ROWS)
    finish_shard(ALL, run, ALL.open(), 1)

    result = _pipeline(run).run()
    result.wait_until_finish()

    assert _counters(result) == {
        "accepted": 2,
        "rejected": 1,
        "rejected_missing_mask": 1,
        "shards_done": 2,
        "shards_found": 1,
    }
    assert (tmp_path / RECORD).exists()


def test_a_run_without_shards_is_committed_all_the_same(tmp_path):
    run = new_run(tmp_path, [])

    _pipeline(run).run().wait_until_finish()

    assert (tmp_path / RECORD).exists()


def test_more_shards_than_one_element_stands_for(tmp_path, monkeypatch):
    monkeypatch.setattr("segflow.jobs.engine._SPAN", 2)
    run = new_run(tmp_path, [row(i) for i in range(5)], per_shard=1)

    _pipeline(run).run().wait_until_finish()

    assert len([name for name in visible(tmp_path) if name.startswith("data/")]) == 5


def test_work_off_runs_the_pipeline_here(tmp_path):
    run = new_run(tmp_path, ROWS)

    work_off(ALL, run, IN_MEMORY)

    assert (tmp_path / RECORD).exists()


def test_too_many_rejects_are_no_failure_of_the_pipeline(tmp_path):
    run = new_run(tmp_path, ROWS)

    work_off(FEW, run, IN_MEMORY)

    assert not (tmp_path / RECORD).exists()


def test_a_failure_is_one_line_with_its_cause_and_what_to_do(tmp_path):
    run = new_run(tmp_path, [row(i) for i in range(4)])
    (tmp_path / "3").touch()

    with pytest.raises(JobError) as caught:
        work_off(TallyJob(broken=tmp_path / "3"), run, IN_MEMORY)

    message = str(caught.value)
    assert "\n" not in message
    assert "Input/output error; finished shards are kept, run the same command" in message
    assert "while running" not in message
    assert run.record_path(0).exists()


def test_a_launch_that_failed_is_gone_on_with_by_the_next(tmp_path):
    broken, output = tmp_path / "3", tmp_path / "output"
    broken.touch()

    def plan(folder: Path) -> Planned:
        return Planned(write_plan(folder, [row(i) for i in range(4)]))

    launch = Launch(TallyJob(broken=broken), output, {}, (), plan, IN_MEMORY)
    console = Console(file=io.StringIO())
    with pytest.raises(JobError):
        launch(console)
    assert visible(output) == {}
    (run,) = complete_runs(output)
    first = run.record_path(0).stat()
    broken.unlink()

    outcome = launch(console)

    assert outcome is not None and (outcome.run, outcome.accepted) == (run.name, 4)
    assert run.record_path(0).stat() == first  # found, not done again


def test_a_failed_commit_says_why(tmp_path):
    run = new_run(tmp_path, [row(1)])
    other = new_run(tmp_path, [row(1)])
    work_off(ALL, other, IN_MEMORY)

    why = f"run {run.name}: another run, {other.name}, is committed .*; choose another --output;"
    with pytest.raises(JobError, match=f"^{why} finished shards are kept$"):
        work_off(ALL, run, IN_MEMORY)
