"""What a process and its decoder hand each other."""

import os
import threading
from typing import IO

import numpy as np
import pytest

from segflow.data.handover import SharedMemory, receive, send


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


def test_a_message_longer_than_a_pipe_holds_arrives_whole():
    message = {"message": "x" * 300_000}
    reading, writing = _pipe()
    with reading, writing:
        sender = threading.Thread(target=send, args=(writing, message))
        sender.start()
        assert receive(reading) == message
        sender.join()


def test_a_side_that_is_gone_is_noticed():
    reading, writing = _pipe()
    writing.close()
    with pytest.raises(EOFError):
        receive(reading)
    reading.close()
    reading, writing = _pipe()
    reading.close()
    send(writing, {})  # lost; reading the answer will tell
    writing.close()
