"""Source files from the disk: what can never be read is refused, what may pass raises."""

import os

import numpy as np
import pytest

from segflow.data.config import DecodeLimits
from segflow.data.decode import read_bytes, read_rgb
from segflow.errors import RejectCode, RejectError
from tests.unit.data.pictures import LIMITS, encode, photo


def test_read_rgb_reads_a_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(photo(), "PNG"))

    assert np.array_equal(read_rgb(tmp_path / "a.png"), photo())


def test_a_file_over_the_cap_of_bytes_is_refused_without_reading_all_of_it(tmp_path):
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(RejectError, match=r"1000 bytes \(--limits\.max-bytes\)") as caught:
        read_bytes(tmp_path / "sparse.png", DecodeLimits(max_bytes=1000))
    assert caught.value.code == RejectCode.TOO_LARGE


@pytest.mark.parametrize("name", ["missing.png", "folder", "file.txt/below.png", "loop", "n" * 300])
def test_what_can_never_be_opened_is_unreadable(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").touch()
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(RejectError, match="cannot be opened") as caught:
        read_bytes(tmp_path / name, LIMITS)
    assert caught.value.code == RejectCode.UNREADABLE


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")

    with pytest.raises(RejectError, match="no regular file"):
        read_bytes(tmp_path / "pipe.png", LIMITS)


def test_a_passing_fault_of_the_storage_raises(tmp_path, monkeypatch):
    def time_out(*_: object, **__: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    (tmp_path / "a.png").touch()
    monkeypatch.setattr("pathlib.Path.open", time_out)

    with pytest.raises(TimeoutError):
        read_bytes(tmp_path / "a.png", LIMITS)
