"""TensorFlow's start-up notes are written by C++ to the file descriptor itself."""

import os

import pytest

from segflow.train.quiet import quiet_import


def test_what_libraries_write_is_dropped_and_nothing_after(capfd):
    with quiet_import():
        os.write(2, b"noise")
    os.write(2, b"signal")
    assert capfd.readouterr().err == "signal"


def test_an_import_that_fails_shows_what_was_written(capfd):
    with pytest.raises(ImportError), quiet_import():
        os.write(2, b"why it failed")
        raise ImportError
    assert capfd.readouterr().err == "why it failed"
