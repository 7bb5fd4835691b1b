"""What two processes hand each other: bytes and arrays, in memory that both can see.

No pickles: what a decoder that hostile input has taken over sends back is only ever read as
numbers.
"""

import contextlib
import fcntl
import io
import json
import math
import os
import select
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

_BUFFER = 1 << 18  # bytes; holds the encoded examples of several common pairs
_SURELY_FITS = select.PIPE_BUF  # POSIX: what any pipe takes at once
_LONGEST = 1 << 24  # bytes of a message; the class counts of an example take most
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
        if math.prod(shape) * np.dtype(dtype).itemsize > self.size:  # before memory is taken for it
            raise EOFError("the memory that was handed over is too short")
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

    @property
    def size(self) -> int:
        """Bytes there are."""
        return os.fstat(self.descriptor).st_size

    def shrink(self) -> None:
        """Gives back memory of unusual size; what was written is lost."""
        if self.size > _KEPT:
            os.ftruncate(self.descriptor, 0)

    def close(self) -> None:
        """Lets go of the memory; it is freed when both processes have."""
        os.close(self.descriptor)


def encoded(message: Mapping[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """JSON values, and bytes behind them, as `receive` reads them."""
    return b"".join((json.dumps([message, *map(len, parts)]).encode(), b"\n", *parts))


def write(pipe: IO[bytes], data: bytes | bytearray) -> None:
    """Writes all of it; to a reader that is gone, it is lost."""
    rest = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while rest:
            rest = rest[pipe.write(rest) :]  # a signal may cut it short


def receive(pipe: IO[bytes], most: int | None = None) -> tuple[dict[str, Any], list[bytes]]:
    """Waits for the next message, from a buffered reader: others may have come behind it.

    Args:
        pipe: The reader.
        most: Bytes that the parts behind a message may have together, and then a message itself
            has a limit, too; None: the writer is trusted.

    Raises:
        EOFError: The writer is gone.
        ValueError: This is no message, or a larger one; what follows cannot be read.
    """
    line = pipe.readline(-1 if most is None else _LONGEST)
    if not line.endswith(b"\n"):
        if len(line) == _LONGEST:
            raise ValueError("a message without end")
        raise EOFError
    message, sizes = _parsed(line)
    if most is not None and sum(sizes) > most:
        raise ValueError(f"{sum(sizes)} bytes, over the cap of {most}")
    parts = [pipe.read(size) for size in sizes]
    if list(map(len, parts)) != sizes:
        raise EOFError
    return message, parts


def _parsed(line: bytes) -> tuple[dict[str, Any], list[int]]:
    try:
        message, *sizes = json.loads(line)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"no message: {error!r}") from error
    if not isinstance(message, dict) or not all(type(s) is int and s >= 0 for s in sizes):
        raise ValueError("no message, or sizes that are none")
    return message, sizes


def buffered(pipe: IO[bytes]) -> IO[bytes]:
    """A reader of a pipe that takes what there is at once."""
    return io.BufferedReader(cast(io.RawIOBase, pipe), _BUFFER)


def widen(pipe: IO[bytes]) -> int:
    """Lets a pipe hold more, where the system allows; returns how many bytes are sure to fit."""
    if not hasattr(fcntl, "F_SETPIPE_SZ"):  # not Linux
        return _SURELY_FITS
    with contextlib.suppress(OSError):  # over what its user may have
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _BUFFER)
    # What is written takes whole pages, of which only the last is filled up: half, to be sure.
    return max(_SURELY_FITS, fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) // 2)
