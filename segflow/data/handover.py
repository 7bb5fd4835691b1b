"""What two processes hand each other: bytes and arrays, in memory that both can see.

No pickles: what a decoder that hostile input has taken over sends back is only ever read as
numbers.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MESSAGE = 1 << 16  # bytes read at once; longer messages take several reads
_KEPT = 1 << 24  # bytes; larger memory is given back once it is read


class SharedMemory:
    """A nameless file in memory, written by one process and then read by the other.

    Reading and writing it costs one copy each, like memory that is mapped, but has no mapping
    that a change of its size could pull away.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> "SharedMemory":
        """New, empty memory."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("segflow"))
        with tempfile.TemporaryFile() as file:  # on macOS
            return cls(os.dup(file.fileno()))

    def put(self, data: bytes | memoryview) -> None:
        """Writes bytes, or an array's, in C order."""
        rest, position = memoryview(data).cast("B"), 0
        while rest:
            written = os.pwrite(self.descriptor, rest, position)
            rest, position = rest[written:], position + written

    def get(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Reads an array, a copy of one's own.

        Raises:
            EOFError: There are fewer bytes.
        """
        array = np.empty(shape, dtype)
        rest, position = array.data.cast("B"), 0
        while rest:
            count = os.preadv(self.descriptor, [rest], position)
            if not count:
                raise EOFError("the memory that was handed over is too short")
            rest, position = rest[count:], position + count
        return array

    def get_bytes(self, size: int) -> bytes:
        """Reads the first `size` bytes."""
        pieces: list[bytes] = []
        while (position := sum(map(len, pieces))) < size:
            pieces.append(os.pread(self.descriptor, size - position, position))
            if not pieces[-1]:
                raise EOFError("the memory that was handed over is too short")
        return b"".join(pieces)

    def shrink(self) -> None:
        """Gives back memory of unusual size; what was written is lost."""
        if os.fstat(self.descriptor).st_size > _KEPT:
            os.ftruncate(self.descriptor, 0)

    def close(self) -> None:
        """Lets go of the memory; it is freed when both processes have."""
        os.close(self.descriptor)


def send(pipe: IO[bytes], message: Mapping[str, Any]) -> None:
    """Sends a message of JSON values; to a reader that is gone, it is lost."""
    with contextlib.suppress(BrokenPipeError):
        pipe.write(json.dumps(message).encode() + b"\n")


def receive(pipe: IO[bytes]) -> Any:
    """Waits for the next message; each is answered before the next is sent.

    Raises:
        EOFError: The writer is gone.
    """
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(pipe.fileno(), _MESSAGE)
        if not piece:
            raise EOFError
        data += piece
    return json.loads(data)
