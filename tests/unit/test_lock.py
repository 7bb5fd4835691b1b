"""The lock: kept from the living, taken from the dead."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from segflow import lock as locks
from segflow import storage
from segflow.errors import UsageError
from segflow.lock import lock


def _path(output: Path) -> Path:
    return output / "_runs/lock.json"


def _held_by(output: Path, **holder: object) -> None:
    mine = psutil.Process()
    known = {"host": socket.gethostname(), "pid": mine.pid, "began": mine.create_time()}
    storage.put(_path(output), storage.to_json({**known, **holder}))


def _is_free(output: Path) -> bool:
    try:
        with lock(output, "_runs"):
            return True
    except UsageError:
        return False


def test_it_is_held_while_the_body_runs_and_then_gone(tmp_path):
    with lock(tmp_path / "output", "_runs"):
        assert storage.read_json(_path(tmp_path / "output"))["pid"] == os.getpid()
    assert not (tmp_path / "output").exists()


def test_it_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path, "_runs"):
        raise ZeroDivisionError
    assert _is_free(tmp_path)


def test_what_lies_in_the_folder_stays(tmp_path):
    with lock(tmp_path / "output", "_runs"):
        (tmp_path / "output/file").touch()
    assert (tmp_path / "output/file").exists()


def test_a_living_holder_keeps_it_and_is_named(tmp_path):
    with (
        lock(tmp_path, "_runs"),
        pytest.raises(UsageError, match=rf"process {os.getpid()}\) is at work .* --output"),
        lock(tmp_path, "_runs"),
    ):
        pass


def test_a_dead_holder_on_this_host_loses_it_at_once(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    began = psutil.Process(child.pid).create_time()
    child.wait()
    _held_by(tmp_path, pid=child.pid, began=began)

    assert _is_free(tmp_path)


def test_a_killed_holder_that_nobody_has_waited_for_is_dead(tmp_path):
    """As under a container's first process, which may never wait for it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    _held_by(tmp_path, pid=child.pid, began=psutil.Process(child.pid).create_time())
    assert not _is_free(tmp_path)

    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert _is_free(tmp_path)
    child.wait()


def test_another_process_of_the_same_number_is_not_the_holder(tmp_path):
    _held_by(tmp_path, began=psutil.Process().create_time() - 1000)

    assert _is_free(tmp_path)


@pytest.mark.parametrize(("age_s", "free"), [(0, False), (599, False), (601, True)])
def test_another_hosts_lock_expires_ten_minutes_after_its_last_heartbeat(tmp_path, age_s, free):
    _held_by(tmp_path, host="elsewhere")
    now = time.time()
    os.utime(_path(tmp_path), (now - age_s, now - age_s))

    assert _is_free(tmp_path) == free


def test_the_heart_beats_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_HEARTBEAT_S", 0.01)
    with lock(tmp_path, "_runs"):
        os.utime(_path(tmp_path), (1, 1))
        deadline = time.monotonic() + 10
        while _path(tmp_path).stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - _path(tmp_path).stat().st_mtime < 60


def test_a_lock_that_was_taken_over_is_not_removed_by_its_old_holder(tmp_path):
    with lock(tmp_path, "_runs"):
        _held_by(tmp_path, host="elsewhere")
    assert storage.read_json(_path(tmp_path))["host"] == "elsewhere"


def test_of_two_that_find_a_dead_holder_the_quicker_keeps_the_lock(tmp_path, monkeypatch):
    _held_by(tmp_path, began=0)
    alive = locks._alive

    def be_overtaken(*arguments: object) -> bool:
        monkeypatch.setattr(locks, "_alive", alive)
        _held_by(tmp_path)  # the other has taken it over, and lives
        return False

    monkeypatch.setattr(locks, "_alive", be_overtaken)

    assert not _is_free(tmp_path)
    assert [path.name for path in _path(tmp_path).parent.iterdir()] == ["lock.json"]


def test_a_lock_that_cannot_be_read_is_no_ones(tmp_path):
    _path(tmp_path).parent.mkdir()
    _path(tmp_path).write_text("{")

    assert _is_free(tmp_path)
