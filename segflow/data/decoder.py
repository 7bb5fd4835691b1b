"""The decoder process: decodes one file after another for the process that started it.

It ends when that process does, whatever it is doing, and by the kernel's hand when a file takes
longer than allowed: a decoder that hangs in C code can no longer end itself.
"""

import contextlib
import fcntl
import math
import os
import resource
import select
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import geotiff
from segflow.data.config import DecodeLimits
from segflow.data.decode import decode_rgb, open_image
from segflow.data.handover import SharedMemory, receive, send
from segflow.data.masks import decode_raw_mask
from segflow.data.reading import ReadingConfig
from segflow.errors import RejectError

Decode = Callable[[bytes, DecodeLimits, Mapping[str, Any]], NDArray[Any]]

_OWN_BYTES = 512 << 20  # the libraries' own memory, with room
_PATIENCE = 2  # times the seconds of decoding, for reading and decoding on a busy machine
_BYTES_PER_PIXEL = 32  # 16-bit grey takes most: three integers a pixel on the way to 8 bits


def main(memory: SharedMemory, lifeline: int) -> None:
    """Answers requests until the other side is gone."""
    requests, replies = (
        os.fdopen(os.dup(number), mode, 0) for number, mode in ((0, "rb"), (1, "wb"))
    )
    _end_with(lifeline)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's affair
    warnings.simplefilter("ignore")
    send(replies, {})  # ready
    _silence()
    serve = _Service(memory)
    with contextlib.suppress(EOFError):
        while True:
            send(replies, serve(receive(requests)))


def _end_with(lifeline: int) -> None:
    """Has the kernel end this process when the process at the other end of a pipe dies.

    A thread that watches could not: some decoders in C hold Python's lock.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)  # SIGIO, whose default is death
    if select.select([lifeline], [], [], 0)[0]:  # dead already: nothing will be signalled
        sys.exit()


def _silence() -> None:
    """Libraries in C complain without naming the file, and one may write to stdout."""
    with Path(os.devnull).open("r+b") as nowhere:
        for number in (0, 1, 2):
            os.dup2(nowhere.fileno(), number)


@dataclass
class _Service:
    """Answers one request after another.

    Attributes:
        memory: Where a file lies when its request comes, and its pixels with the reply.
        limits: As the last request that told them said.
    """

    memory: SharedMemory
    limits: DecodeLimits = field(default_factory=DecodeLimits)

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What to reply: the pixels' shape and dtype, or a reject's code and message.

        A `failure` is the decoder's own, possibly for what earlier files have left of it.
        """
        if "limits" in request:
            self.limits = DecodeLimits(**request["limits"])
            _limit_memory(self.limits)
        data = self.memory.get_bytes(request["bytes"])
        self._set_alarm(request["options"])
        try:
            pixels = np.ascontiguousarray(
                _DECODERS[request["decode"]](data, self.limits, request["options"])
            )
        except RejectError as error:
            return {"code": error.code, "message": str(error)}
        except OSError as error:
            if error.errno is None:
                return _failure(error)
            return {"errno": error.errno}  # may pass
        except Exception as error:
            return _failure(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.memory.put(pixels.data)
        return {"shape": pixels.shape, "dtype": pixels.dtype.name}

    def _set_alarm(self, options: Mapping[str, Any]) -> None:
        """Lets the kernel end this process: death is what both signals do by default.

        A task that reads a path waits for the storage, too. What it may compute is limited by
        SIGPROF, which is the file's fault; that all of it ends, by SIGALRM, which is not.
        """
        seconds = self.limits.decode_seconds
        if "path" in options:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            seconds *= _PATIENCE
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _failure(error: Exception) -> dict[str, Any]:
    return {"failure": "it ran out of memory" if isinstance(error, MemoryError) else repr(error)}


def _limit_memory(limits: DecodeLimits) -> None:
    """Lets a file that asks for more memory than its pixels need fail in here."""
    most = _OWN_BYTES + limits.max_bytes + _BYTES_PER_PIXEL * limits.max_pixels
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _rgb(data: bytes, limits: DecodeLimits, options: Mapping[str, Any]) -> NDArray[Any]:
    return decode_rgb(data, limits, ReadingConfig(**options["reading"]))


def _mask(data: bytes, limits: DecodeLimits, _: Mapping[str, Any]) -> NDArray[Any]:
    return decode_raw_mask(data, limits)


def _size(data: bytes, limits: DecodeLimits, _: Mapping[str, Any]) -> NDArray[Any]:
    image = open_image(data, limits)
    return np.array([image.height, image.width])


def _image_rows(_: bytes, limits: DecodeLimits, options: Mapping[str, Any]) -> NDArray[Any]:
    reading = ReadingConfig(**options["reading"])
    return geotiff.image_rows(options["path"], options["top"], options["count"], reading)


def _mask_rows(_: bytes, limits: DecodeLimits, options: Mapping[str, Any]) -> NDArray[Any]:
    return geotiff.mask_rows(options["path"], options["top"], options["count"])


def _ground_resolution(
    data: bytes, limits: DecodeLimits, options: Mapping[str, Any]
) -> NDArray[Any]:
    found = geotiff.ground_resolution(options.get("path", data))
    return np.array([math.nan if found is None else found])


_DECODERS: Mapping[str, Decode] = {
    "rgb": _rgb,
    "mask": _mask,
    "size": _size,
    "image_rows": _image_rows,
    "mask_rows": _mask_rows,
    "ground_resolution": _ground_resolution,
}

if __name__ == "__main__":
    main(SharedMemory(int(sys.argv[1])), int(sys.argv[2]))
