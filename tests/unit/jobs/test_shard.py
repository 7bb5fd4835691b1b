"""One shard: complete or absent, whoever tries and how often."""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from segflow import hashing, storage
from segflow.jobs.job import ShardWork
from segflow.jobs.run import Run
from segflow.jobs.shard import ShardResult, finish_shard
from tests.unit.jobs.tally import BAD, TallyJob, new_run, row

JOB = TallyJob()


def _finish(run: Run, index: int = 0, work: ShardWork | None = None) -> ShardResult:
    return finish_shard(JOB, run, work or JOB.open(), index)


def _attempts(run: Run) -> list[Path]:
    return sorted((run.folder / "staging").iterdir())


def _record(run: Run, index: int = 0) -> dict:
    return storage.read_json(run.record_path(index))


def test_a_record_names_the_files_with_their_hashes(tmp_path):
    run = new_run(tmp_path, [row(3), row(4)])

    result = _finish(run)

    assert result == ShardResult(2, 0, {}, worked=True)
    (attempt,) = _attempts(run)
    record = _record(run)
    assert record["attempt"] == attempt.name
    assert record["shard"] == 0
    assert record["sums"] == {"sum": 7}
    (file,) = record["files"]
    assert file["path"] == "data/part-00000.txt"
    assert file["rows"] == 2
    assert file["bytes"] == 4
    assert file["sha256"] == hashing.sha256_file(attempt / "data/part-00000.txt")


def test_a_finished_shard_is_found_and_not_done_again(tmp_path):
    run = new_run(tmp_path, [row(3), row(4, code="missing_mask")])
    first = _finish(run)

    second = _finish(run, work=lambda *_: pytest.fail("it was done again"))

    assert first == ShardResult(1, 1, {"missing_mask": 1}, worked=True)
    assert second == ShardResult(1, 1, {"missing_mask": 1}, worked=False)
    assert len(_attempts(run)) == 1


def test_rejects_of_planning_and_of_work_are_one_table_in_order(tmp_path):
    rows = [row(9, code="missing_mask"), row(1), row(BAD), row(2, code="duplicate_key")]
    run = new_run(tmp_path, rows, per_shard=4)

    result = _finish(run)

    assert result.rejected_by_code == {"duplicate_key": 1, "missing_mask": 1, "unreadable": 1}
    assert list(result.rejected_by_code) == sorted(result.rejected_by_code)
    rejects = pq.read_table(_attempts(run)[0] / "rejects/part-00000.parquet").to_pylist()
    assert [(r["key"], r["code"]) for r in rejects] == [
        ("key -1", "unreadable"),
        ("key 2", "duplicate_key"),
        ("key 9", "missing_mask"),
    ]
    assert rejects[0] == {
        "key": "key -1",
        "image_uri": "/images/-1",
        "mask_uri": None,
        "code": "unreadable",
        "message": "bad number",
    }
    assert rejects[1]["message"] == "because of duplicate_key"


def test_no_rejects_are_no_file(tmp_path):
    run = new_run(tmp_path, [row(1)])
    _finish(run)

    assert [f["path"] for f in _record(run)["files"]] == ["data/part-00000.txt"]


def test_every_attempt_makes_the_same_bytes(tmp_path):
    rows = [row(1), row(2, code="missing_mask"), row(BAD)]
    runs = [new_run(tmp_path / name, rows, per_shard=3) for name in "ab"]

    for run in runs:
        _finish(run)

    first, second = ({**_record(run), "attempt": None} for run in runs)
    assert first == second


def _fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


def _kill(shard: object, rows: object, output: object) -> None:
    output.local_path("data/half.txt").write_text("half")
    raise KeyboardInterrupt


def _forget_a_row(shard: object, rows: object, output: object) -> None:
    output.accept()


@pytest.mark.parametrize(
    ("work", "error"),
    [(_fail, OSError), (_kill, KeyboardInterrupt), (_forget_a_row, RuntimeError)],
)
def test_a_failed_attempt_leaves_nothing_and_can_be_repeated(tmp_path, work, error):
    run = new_run(tmp_path, [row(1), row(2)])

    with pytest.raises(error):
        _finish(run, work=work)

    assert _attempts(run) == []
    assert not run.record_path(0).exists()
    assert _finish(run).accepted == 2


def test_a_row_that_is_neither_accepted_nor_rejected_is_a_bug_that_shows(tmp_path):
    run = new_run(tmp_path, [row(1), row(2), row(3, code="missing_mask")], per_shard=3)

    with pytest.raises(RuntimeError, match="3 rows, but 1 accepted and 1 rejected"):
        _finish(run, work=_forget_a_row)


def test_what_a_killed_attempt_left_is_no_hindrance(tmp_path):
    run = new_run(tmp_path, [row(1)])
    left = run.new_attempt(0)
    (left / "data").mkdir()
    (left / "data/part-00000.txt").write_text("torn")

    _finish(run)

    record = _record(run)
    assert record["attempt"] != left.name
    staged = run.folder / "staging" / record["attempt"] / "data/part-00000.txt"
    assert staged.read_text() == "1\n"


class _Together:
    """Work that ends only when all attempts have come as far."""

    def __init__(self, attempts: int) -> None:
        self._barrier = threading.Barrier(attempts)

    def __call__(self, *arguments: object) -> None:
        JOB.open()(*arguments)
        self._barrier.wait(timeout=30)

    def close(self) -> None:
        pass


def test_of_several_threads_one_wins_and_the_others_files_are_removed(tmp_path):
    run = new_run(tmp_path, [row(1), row(2)])
    together = _Together(6)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: _finish(run, work=together), range(6)))

    assert sum(result.worked for result in results) == 1
    assert {(r.accepted, r.rejected) for r in results} == {(2, 0)}
    assert [attempt.name for attempt in _attempts(run)] == [_record(run)["attempt"]]


def _finish_all(run: Run) -> int:
    return sum(_finish(run, index).worked for index in range(run.shard_count))


def test_of_several_processes_one_wins_each_shard(tmp_path):
    run = new_run(tmp_path, [row(i) for i in range(40)], per_shard=1)

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        worked = list(pool.map(_finish_all, [run] * 2))

    assert sum(worked) == 40
    winners = {_record(run, index)["attempt"] for index in range(40)}
    assert {attempt.name for attempt in _attempts(run)} == winners


def test_an_attempt_that_fails_after_another_has_won_does_not_fail_the_job(tmp_path):
    """As when the winner's commit has removed the staging folder under it."""
    run = new_run(tmp_path, [row(1)])

    def lose(*_: object) -> None:
        _finish(run)
        raise FileNotFoundError(2, "No such file or directory")

    result = _finish(run, work=lose)

    assert result == ShardResult(1, 0, {}, worked=False)
    assert [attempt.name for attempt in _attempts(run)] == [_record(run)["attempt"]]
