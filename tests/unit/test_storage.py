import errno
import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segflow import storage
from segflow.errors import JobError

SPAWN = multiprocessing.get_context("spawn")
MEGABYTE = 2**20


def _everything_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("write", [storage.put, storage.put_if_absent])
def test_writes_a_new_file_in_a_new_folder_and_leaves_nothing_else(tmp_path, write):
    write(tmp_path / "a" / "b" / "file", b"data")

    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"data"
    assert _everything_in(tmp_path / "a" / "b") == ["file"]


def test_put_replaces(tmp_path):
    storage.put(tmp_path / "file", b"old and longer")
    storage.put(str(tmp_path / "file"), b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
    assert _everything_in(tmp_path) == ["file"]


def test_put_if_absent_keeps_the_first(tmp_path):
    assert storage.put_if_absent(tmp_path / "file", b"first") is True
    assert storage.put_if_absent(str(tmp_path / "file"), b"second") is False

    assert (tmp_path / "file").read_bytes() == b"first"
    assert _everything_in(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [storage.put, storage.put_if_absent])
def test_a_full_disk_leaves_what_was_there_and_no_scraps(tmp_path, monkeypatch, write):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    storage.put(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    for name in ("file", "other"):
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / name, b"new")

    assert _everything_in(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_data_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (seen.append((tmp_path / "file").exists()), real(fd))
    )
    storage.put(tmp_path / "file", b"data")

    assert seen == [False]


def test_of_many_threads_one_wins_and_its_data_stays(tmp_path):
    for attempt in range(20):
        path, barrier = tmp_path / f"file-{attempt}", threading.Barrier(8)

        def write(index, path=path, barrier=barrier):
            barrier.wait()
            return storage.put_if_absent(path, bytes([index]) * 1000)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(8)))

        assert won.count(True) == 1
        assert path.read_bytes() == bytes([won.index(True)]) * 1000
    assert _everything_in(tmp_path) == sorted(f"file-{n}" for n in range(20))


def _race(folder, index, barrier, rounds, results):
    for number in range(rounds):
        barrier.wait()
        won = storage.put_if_absent(Path(folder) / f"file-{number}", bytes([index]) * MEGABYTE)
        results.put((number, index, won))


def test_of_several_processes_one_wins_and_its_data_stays(tmp_path):
    rounds, writers = 5, 3
    barrier, results = SPAWN.Barrier(writers), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=_race, args=(str(tmp_path), i, barrier, rounds, results))
        for i in range(writers)
    ]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in range(rounds * writers)]
    for process in processes:
        process.join()

    for number in range(rounds):
        winners = [index for n, index, won in outcomes if n == number and won]
        assert len(winners) == 1
        data = (tmp_path / f"file-{number}").read_bytes()
        assert data == bytes([winners[0]]) * MEGABYTE


def test_a_reader_sees_the_old_or_the_new_and_never_a_mixture(tmp_path):
    path, done = tmp_path / "file", threading.Event()
    versions = [bytes([n]) * MEGABYTE for n in range(2)]
    storage.put(path, versions[0])

    def write():
        for n in range(60):
            storage.put(path, versions[n % 2])
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        reads = 0
        while not done.is_set() or reads == 0:
            assert path.read_bytes() in versions
            reads += 1
        writer.result()


# publish


def _killed_while_writing(path, monkeypatch):
    """Leaves what a kill leaves; the writer's own cleaning does not come to pass."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: 1 / 0)
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        with pytest.raises(ZeroDivisionError):
            storage.put(path, b"half")


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    kept = [tmp_path / "a.json", tmp_path / "sub/.hidden", tmp_path / "sub/.b.json.backup"]
    for path in kept:
        storage.put(path, b"kept")
    for path in (tmp_path / "a.json", tmp_path / "sub/b.json"):
        _killed_while_writing(path, monkeypatch)
    assert len(list(tmp_path.rglob(".*"))) == 4

    storage.remove_scraps(tmp_path)

    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
    storage.remove_scraps(tmp_path / "missing")


@pytest.mark.parametrize("write", [storage.put, storage.put_if_absent])
def test_a_living_writer_whose_copy_was_removed_writes_it_again(tmp_path, monkeypatch, write):
    fsync = os.fsync

    def remove_once(number):
        fsync(number)
        monkeypatch.setattr(os, "fsync", fsync)
        storage.remove_scraps(tmp_path)

    monkeypatch.setattr(os, "fsync", remove_once)

    write(tmp_path / "a.json", b"whole")

    assert (tmp_path / "a.json").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_is_written_bit_by_bit_appears_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with storage.written_whole(path) as unfinished:
        unfinished.write_bytes(b"some")
        assert not path.exists()
        unfinished.write_bytes(b"some and more")
    assert path.read_bytes() == b"some and more"
    assert _everything_in(path.parent) == ["file"]


def test_a_file_whose_writing_failed_leaves_what_was_there(tmp_path):
    storage.put(tmp_path / "file", b"old")
    with pytest.raises(KeyError), storage.written_whole(tmp_path / "file") as unfinished:
        unfinished.write_bytes(b"new")
        raise KeyError
    assert (tmp_path / "file").read_bytes() == b"old"
    assert _everything_in(tmp_path) == ["file"]


def test_two_writers_of_a_folder_who_clean_up_leave_each_other_alone(tmp_path):
    with storage.written_whole(tmp_path / "a") as first:
        first.write_bytes(b"first")
        with storage.written_whole(tmp_path / "b") as second:
            storage.remove_scraps(tmp_path)
            second.write_bytes(b"second")
        storage.remove_scraps(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"first"
    assert (tmp_path / "b").read_bytes() == b"second"
    assert _everything_in(tmp_path) == ["a", "b"]


def test_what_a_killed_writer_wrote_bit_by_bit_goes_after_an_hour(tmp_path):
    with storage.written_whole(tmp_path / "a") as unfinished:
        unfinished.write_bytes(b"half")
    scrap = (tmp_path / "a").rename(unfinished)
    for hours, left in ((0.5, [scrap.name]), (1.5, [])):
        then = time.time() - hours * 3600
        os.utime(scrap, (then, then))
        storage.remove_scraps(tmp_path)
        assert _everything_in(tmp_path) == left


def test_publish_moves_and_may_be_repeated(tmp_path):
    (tmp_path / "staged").write_bytes(b"data")
    for _ in range(2):
        storage.publish(tmp_path / "staged", tmp_path / "new" / "file")

    assert (tmp_path / "new" / "file").read_bytes() == b"data"
    assert not (tmp_path / "staged").exists()


def test_publish_says_when_the_file_is_lost(tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.publish(tmp_path / "staged", tmp_path / "file")


# The rest


def test_names_are_sorted_and_hidden_ones_left_out(tmp_path):
    for name in ("b", "a", ".a.0123", "_c"):
        (tmp_path / name).touch()

    assert storage.names_in(tmp_path) == ["_c", "a", "b"]
    assert storage.names_in(tmp_path / "missing") == []


def test_json_keeps_the_order_and_the_letters_and_reads_back(tmp_path):
    value = {"b": [1, None], "a": "é <script>"}
    storage.put(tmp_path / "file.json", storage.to_json(value))

    assert storage.read_json(tmp_path / "file.json") == value
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert text == json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    assert text.index('"b"') < text.index('"a"')
    assert "é" in text


def test_json_has_no_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        storage.to_json({"mean_iou": float("nan")})


def test_a_scratch_folder_is_removed_with_all_it_holds_even_on_an_error():
    with pytest.raises(KeyError), storage.scratch_folder() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_bytes(b"data")
        raise KeyError

    assert not folder.exists()


def test_sync_wants_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"data")
    storage.sync(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        storage.sync(tmp_path / "missing")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "written otherwise"),
        RuntimeError("IO Error: could not write: No space left on device"),
    ],
)
def test_a_full_disk_is_named(tmp_path, error):
    mounted = storage.mount_point(tmp_path)
    told = pytest.raises(OSError, match=f"no space left on the disk .* {mounted}: ")
    with told as caught, storage.full_disk_named(tmp_path / "not" / "yet"):
        raise error
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        ValueError("full"),
        JobError("No space left on device"),
    ],
)
def test_other_errors_stay_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, storage.full_disk_named(tmp_path):
        raise error
    assert caught.value is error


def test_the_mount_point_is_the_nearest_above(tmp_path):
    assert storage.mount_point("/") == Path("/")
    mounted = storage.mount_point(tmp_path)
    assert mounted.is_mount()
    assert tmp_path.is_relative_to(mounted)
