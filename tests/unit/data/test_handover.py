"""What a process and its decoder hand each other."""

import io
import os
import select
import threading
from typing import IO

import numpy as np
import pytest

from segflow.data.handover import SharedMemory, buffered, encoded, receive, widen, write


@pytest.fixture
def memory():
    made = SharedMemory.create()
    yield made
    made.close()


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_an_array_comes_back_as_it_was(memory, dtype):
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)

    memory.put(array.data)

    np.testing.assert_array_equal(memory.get((2, 3, 4), dtype), array)


def test_bytes_come_back_though_more_were_there_before(memory):
    memory.put(b"a longer text")
    memory.put(b"short")

    assert memory.get_bytes(5) == b"short"


def test_what_is_not_there_is_not_waited_for(memory):
    memory.put(b"short")

    with pytest.raises(EOFError):
        memory.get_bytes(6)
    with pytest.raises(EOFError):
        memory.get((6,), np.uint8)


def test_memory_of_a_large_picture_is_given_back(memory):
    memory.put(bytes(1 << 16))
    memory.shrink()
    assert os.fstat(memory.descriptor).st_size == 1 << 16
    memory.put(bytes(1 << 25))
    memory.shrink()
    assert os.fstat(memory.descriptor).st_size == 0


def test_messages_longer_than_a_pipe_holds_arrive_whole_and_in_order():
    messages = [({"message": "x" * 300_000}, [bytes(1 << 20), b"", b"\n"]), ({}, [])]
    reading, writing = _pipe()
    with buffered(reading) as replies, writing:
        data = b"".join(encoded(*message) for message in messages)
        sender = threading.Thread(target=write, args=(writing, data))
        sender.start()
        assert [receive(replies) for _ in messages] == messages
        sender.join()


@pytest.mark.parametrize("kept", [1, 5, 20])
def test_a_message_that_is_cut_off_is_none(kept):
    with buffered(io.FileIO(os.memfd_create("test"), "r+")) as file:
        data = encoded({"a": 1}, [b"0123456789"])
        assert kept < len(data)
        os.pwrite(file.fileno(), data[:kept], 0)
        with pytest.raises(EOFError):
            receive(file)


def test_as_much_as_a_pipe_is_said_to_hold_is_written_without_a_reader():
    reading, writing = _pipe()
    with reading, writing:
        room = widen(writing)
        assert room >= select.PIPE_BUF
        os.set_blocking(writing.fileno(), False)
        for size in (1, room // 2, room - room // 2 - 1):  # raises if one would have to wait
            assert writing.write(bytes(size)) == size


def test_a_side_that_is_gone_is_noticed():
    reading, writing = _pipe()
    writing.close()
    with buffered(reading) as replies, pytest.raises(EOFError):
        receive(replies)
    reading, writing = _pipe()
    reading.close()
    write(writing, encoded({}))  # lost; reading the answer will tell
    writing.close()
