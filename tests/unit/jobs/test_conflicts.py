"""Several runs and one output: what is committed is of one run, whole."""

import contextlib
import functools
import itertools
import shutil
from collections import Counter

import pytest

from segflow import storage
from segflow.errors import JobError
from segflow.jobs.commit import COMMITTED, commit, discard
from segflow.jobs.run import complete_runs
from tests.unit.jobs.tally import (
    ALL,
    RECORD,
    CutOffError,
    TallyJob,
    finished,
    only_run,
    require_whole,
    row,
    visible,
)
from tests.unit.jobs.turns import in_turns

MOST_CHANGES = 24  # of the disk, by one commit of one shard, or one discard
ORDERS = list(itertools.product(range(MOST_CHANGES), range(1, MOST_CHANGES)))


def test_a_second_run_cannot_overwrite_a_committed_one(tmp_path):
    first, second = finished(tmp_path), finished(tmp_path, [row(i) for i in range(6)])
    commit(ALL, first)
    there = visible(tmp_path)

    with pytest.raises(JobError, match=f"another run, {first.name}"):
        commit(ALL, second)
    assert visible(tmp_path) == there
    assert commit(ALL, first).status == COMMITTED


def test_a_second_run_cannot_publish_while_the_first_does(tmp_path, monkeypatch):
    first, second = finished(tmp_path), finished(tmp_path, [row(i) for i in range(6)])
    publish = storage.publish

    def publish_and_be_disturbed(*arguments: object) -> None:
        publish(*arguments)
        monkeypatch.setattr(storage, "publish", publish)
        with pytest.raises(JobError, match=f"another run, {first.name}"):
            commit(ALL, second)

    monkeypatch.setattr(storage, "publish", publish_and_be_disturbed)

    assert commit(ALL, first).status == COMMITTED
    require_whole(tmp_path)
    assert storage.read_json(tmp_path / RECORD)["run"] == first.name


def test_two_commits_of_one_run_end_as_one_in_whatever_order_they_go(tmp_path, monkeypatch):
    """As when orphans of a dead launcher, or of a split network, work on beside a new one."""
    original, expected = tmp_path / "original", tmp_path / "expected"
    finished(original, [row(1)])
    shutil.copytree(original, expected)
    commit(ALL, only_run(expected))
    most = 0
    for before, between in ORDERS:
        output = tmp_path / f"{before} {between}"
        shutil.copytree(original, output)

        calls = [functools.partial(commit, ALL, only_run(output))] * 2

        results, taken = in_turns(monkeypatch, calls, before, between)

        assert [result.result().status for result in results] == [COMMITTED] * 2
        assert visible(output) == visible(expected)
        most = max(most, *taken.values())
    assert 6 < most <= MOST_CHANGES, "not all orders were tried"


@pytest.mark.parametrize("turned", [False, True], ids=["commit first", "discard first"])
def test_a_commit_and_a_discard_leave_a_whole_run_or_none_in_whatever_order(
    tmp_path, monkeypatch, turned
):
    endings, most = Counter(), 0
    for before, between in ORDERS:
        output = tmp_path / f"{before} {between}"
        run, other = finished(output, [row(1)]), finished(output, [row(2)])
        calls = functools.partial(commit, ALL, run), functools.partial(discard, ALL, run, other)

        results, taken = in_turns(monkeypatch, calls[::-1] if turned else calls, before, between)

        for result in results:
            if result.exception():
                assert isinstance(result.exception(), (JobError, FileNotFoundError))
        if (output / RECORD).exists():
            require_whole(output)
            assert storage.read_json(output / RECORD)["run"] == run.name
            assert (output / "data/part-00000.txt").read_text() == "1\n"
            endings["committed"] += 1
        else:
            # The commit may publish a last whole file after the discard has looked; no record
            # lists it, and it does not hinder the run that takes the place.
            assert visible(output).items() <= {"data/part-00000.txt": b"1\n"}.items()
            assert commit(ALL, other).status == COMMITTED
            assert (output / "data/part-00000.txt").read_text() == "2\n"
            require_whole(output)
            endings["discarded"] += 1
        most = max(most, *taken.values())
    assert len(endings) == 2
    assert 6 < most <= MOST_CHANGES, "not all orders were tried"


def test_runs_with_records_of_their_own_do_not_hinder_each_other(tmp_path):
    job = TallyJob(max_reject_fraction=1.0, per_run=True)
    runs = [finished(tmp_path, job=job) for _ in range(2)]

    assert [commit(job, run).status for run in runs] == [COMMITTED] * 2
    assert all((tmp_path / run.name / RECORD).exists() for run in runs)


@pytest.mark.parametrize("moment", [1, 2, 5, 8, 11])
def test_discarding_a_run_takes_back_what_its_commit_had_published(tmp_path, cut_off, moment):
    given_up, other = finished(tmp_path), finished(tmp_path, [row(1), row(2)])
    cut_off(moment)
    with pytest.raises(CutOffError):
        commit(ALL, given_up)
    cut_off(-1)

    discard(ALL, given_up, other)

    assert visible(tmp_path) == {}
    assert not given_up.folder.exists()
    assert commit(ALL, other).status == COMMITTED
    assert visible(tmp_path).keys() == {"data/part-00000.txt", RECORD, "derived.txt"}


@pytest.mark.parametrize("moment", range(1, 40, 2))
def test_a_discard_that_was_cut_off_can_be_done_again(tmp_path, cut_off, moment):
    given_up, other = finished(tmp_path), finished(tmp_path, [row(1), row(2)])
    cut_off(11)
    with pytest.raises(CutOffError):
        commit(ALL, given_up)
    cut_off(moment)
    with contextlib.suppress(CutOffError):
        discard(ALL, given_up, other)
    cut_off(-1)

    for run in complete_runs(tmp_path):
        if run.name == given_up.name:
            discard(ALL, run, other)

    assert visible(tmp_path) == {}
    assert commit(ALL, other).status == COMMITTED
    assert visible(tmp_path).keys() == {"data/part-00000.txt", RECORD, "derived.txt"}


@pytest.mark.parametrize("moment", ["publish", "record"])
def test_a_pipeline_whose_run_is_discarded_meanwhile_does_not_commit(tmp_path, monkeypatch, moment):
    given_up, other = finished(tmp_path), finished(tmp_path, [row(1), row(2)])
    owner = storage if moment == "publish" else TallyJob
    undisturbed, calls = getattr(owner, moment), []

    def disturbed(*arguments: object) -> object:
        result = undisturbed(*arguments)
        calls.append(arguments)
        if len(calls) == 1:
            discard(ALL, given_up, other)
        return result

    monkeypatch.setattr(owner, moment, disturbed)
    with pytest.raises((JobError, FileNotFoundError)):
        commit(ALL, given_up)
    monkeypatch.setattr(owner, moment, undisturbed)

    assert visible(tmp_path) == {}
    assert commit(ALL, other).status == COMMITTED
    assert storage.read_json(tmp_path / RECORD)["run"] == other.name
    assert visible(tmp_path).keys() == {"data/part-00000.txt", RECORD, "derived.txt"}


def test_a_run_whose_commit_is_decided_is_committed_and_not_discarded(tmp_path, monkeypatch):
    decided, other = finished(tmp_path), finished(tmp_path, [row(1), row(2)])
    put_if_absent = storage.put_if_absent

    def cut_off_before_the_record(path, data):
        if str(path).endswith(RECORD) and "claim" not in str(path):
            raise CutOffError
        return put_if_absent(path, data)

    monkeypatch.setattr(storage, "put_if_absent", cut_off_before_the_record)
    with pytest.raises(CutOffError):
        commit(ALL, decided)
    monkeypatch.setattr(storage, "put_if_absent", put_if_absent)

    discard(ALL, decided, other)

    require_whole(tmp_path)
    assert storage.read_json(tmp_path / RECORD)["run"] == decided.name


def test_a_run_that_commits_while_it_is_discarded_stays_whole(tmp_path, monkeypatch):
    quicker, other = finished(tmp_path), finished(tmp_path, [row(1), row(2)])
    put = storage.put

    def put_and_be_disturbed(*arguments: object) -> None:
        monkeypatch.setattr(storage, "put", put)
        commit(ALL, quicker)
        put(*arguments)

    storage.put(tmp_path / "_runs" / f"claim-{RECORD}", quicker.name.encode())
    monkeypatch.setattr(storage, "put", put_and_be_disturbed)
    discard(ALL, quicker, other)

    require_whole(tmp_path)
    assert storage.read_json(tmp_path / RECORD)["run"] == quicker.name


def test_a_run_that_has_committed_meanwhile_is_not_discarded(tmp_path):
    committed, other = finished(tmp_path), finished(tmp_path, [row(1), row(2)])
    commit(ALL, committed)
    there = visible(tmp_path)

    discard(ALL, committed, other)

    assert visible(tmp_path) == there
    assert committed.folder.exists()


def test_a_run_whose_removal_was_cut_off_is_not_gone_on_with(tmp_path, monkeypatch):
    given_up, other = finished(tmp_path), finished(tmp_path, [row(1)])
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # killed before it

    discard(ALL, given_up, other)

    assert given_up.name not in [run.name for run in complete_runs(tmp_path)]


def test_a_claim_of_a_run_that_is_gone_counts_no_more(tmp_path, cut_off):
    gone, other = finished(tmp_path), finished(tmp_path, [row(1)])
    cut_off(2)
    with pytest.raises(CutOffError):
        commit(ALL, gone)
    cut_off(-1)
    shutil.rmtree(gone.folder)

    assert commit(ALL, other).status == COMMITTED
