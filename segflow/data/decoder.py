"""The decoder process: decodes files, and makes examples, for the process that started it.

A request is `{"decode": …}`, for the pixels of one file; `{"make": a row of the plan, "copies":
…}`, for all its examples, so that what is stored crosses between the processes, not the pixels of
large pictures; `{"recipe": …}`, how to make them; or `{"flush": …}`: no more is to come for now.

The process ends when the other does, whatever it is doing, and by the kernel's hand when a file
takes longer than allowed: a decoder that hangs in C code can no longer end itself.
"""

import contextlib
import fcntl
import json
import math
import os
import resource
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import contained, geotiff, packs
from segflow.data.answers import memory_cap
from segflow.data.config import DecodeLimits
from segflow.data.decode import decode_rgb, open_image
from segflow.data.decoder_process import Task
from segflow.data.handover import SharedMemory, buffered, encoded, receive, write
from segflow.data.making import Recipe, make
from segflow.data.masks import decode_raw_mask
from segflow.data.reading import ReadingConfig
from segflow.errors import RejectError

Decode = Callable[[bytes, DecodeLimits, Mapping[str, Any]], NDArray[Any]]
Reply = tuple[Mapping[str, Any], Sequence[bytes]]

_AT_ONCE = 1 << 18  # bytes of examples
_PATIENCE = 2  # times the seconds of decoding, for reading and decoding on a busy machine


def main(memory: SharedMemory, lifeline: int) -> None:
    """Answers requests until the other side is gone."""
    requests = buffered(os.fdopen(os.dup(0), "rb", 0))
    replies = os.fdopen(os.dup(1), "wb", 0)
    _end_with(lifeline)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's affair
    warnings.simplefilter("ignore")
    write(replies, encoded({}))  # ready
    _silence()
    service = _Service(memory)
    contained.decode_here(service.decode_noted)
    with contextlib.suppress(EOFError):
        while True:
            _answer(service, receive(requests)[0], replies)


def _answer(service: "_Service", request: Mapping[str, Any], replies: IO[bytes]) -> None:
    """Replies to a request; examples are kept back till many can go at once, or none is to come.

    To wake the other process for every small picture takes it a tenth of the time of making one.
    """
    for reply, parts in service(request):
        service.waiting += encoded(reply, parts)
        if len(service.waiting) >= _AT_ONCE:
            service.flush(replies)
    if "make" not in request:
        service.flush(replies)


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


class _FaultError(Exception):
    """The decoder failed in a way that no picture should make it fail."""


@dataclass
class _Service:
    """Answers one request after another.

    Attributes:
        memory: Where a file lies when its request comes, and its pixels with the reply; while
            examples are made, a note of what is being decoded, for those who find this dead.
        limits: As the last request that told them said.
        recipe: Likewise.
        columns: Bytes that it may hold of packs, from the first row on that lies in such a one.
        number: Of the row whose examples are being made.
        waiting: Replies that are not sent yet.
    """

    memory: SharedMemory
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    recipe: Recipe | None = None
    columns: int = 0
    number: int = -1
    waiting: bytearray = field(default_factory=bytearray)

    def __call__(self, request: Mapping[str, Any]) -> Iterator[Reply]:
        """What to reply: pixels' shape and dtype, or examples and, as their end, a message without.

        Instead of these, or after some examples: a reject's code and message, an `errno`, or a
        `failure`, which is the decoder's own, possibly for what earlier files have left of it. All
        that is said of a row has its number.
        """
        about = {"number": request["number"]} if "make" in request else {}
        try:
            if "recipe" in request:  # which has no answer
                self.recipe = Recipe.from_dict(request["recipe"])
                _limit_memory(self.recipe.config.limits, self.columns)
            elif "make" in request:
                yield from self._make(request)
            elif "decode" in request:
                yield self._decode(request), ()
        except Exception as error:
            yield about | _refusal(error), ()

    def flush(self, replies: IO[bytes]) -> None:
        """Sends what is waiting."""
        write(replies, self.waiting)
        self.waiting = bytearray()

    def _make(self, request: Mapping[str, Any]) -> Iterator[Reply]:
        assert self.recipe is not None
        self.number = request["number"]
        self._note(None)
        if not self.columns and packs.is_in_columns(request["make"]):
            self.columns = packs.MOST_HELD
            _limit_memory(self.recipe.config.limits, self.columns)
        for made in make(request["make"], request["copies"], self.recipe):
            facts, parts = made.to_message()
            yield {"number": self.number, "made": facts}, parts
        yield {"number": self.number}, ()

    def _decode(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if "limits" in request:
            self.limits = DecodeLimits(**request["limits"])
            _limit_memory(self.limits, self.columns)
        data = self.memory.get_bytes(request["bytes"])
        pixels = self.decode(Task(request["decode"], data, request["options"]), self.limits)
        self.memory.put(pixels.data)
        return {"shape": pixels.shape, "dtype": pixels.dtype.name}

    def decode_noted(self, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        """`decode`, for examples: who finds this process dead will know what it was at."""
        self._note(task)
        pixels = self.decode(task, limits)
        self._note(None)
        return pixels

    def _note(self, task: Task | None) -> None:
        if task is None:
            self.memory.put(b"[%d]\n" % self.number)
        else:
            note = [self.number, task.decode, task.options.get("path")]
            self.memory.put(json.dumps(note).encode() + b"\n")

    def decode(self, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        """Decodes a file, in C order, within the time that it may take.

        Raises:
            RejectError: It cannot be decoded.
            OSError: It could not be read, which may pass.
            _FaultError: Anything else went wrong.
        """
        _set_alarm(task.options, limits.decode_seconds)
        try:
            return np.ascontiguousarray(decode(task, limits))
        except RejectError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            why = "it ran out of memory" if isinstance(error, MemoryError) else repr(error)
            raise _FaultError(why) from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if "path" in task.options:
                signal.setitimer(signal.ITIMER_PROF, 0)


def decode(task: Task, limits: DecodeLimits) -> NDArray[Any]:
    """Decodes a file, whatever comes of it."""
    return _DECODERS[task.decode](task.data, limits, task.options)


def _set_alarm(options: Mapping[str, Any], seconds: float) -> None:
    """Lets the kernel end this process: death is what both signals do by default.

    A task that reads a path waits for the storage, too. What it may compute is limited by SIGPROF,
    which is the file's fault; that all of it ends, by SIGALRM, which is not.
    """
    if "path" in options:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        seconds *= _PATIENCE
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _refusal(error: Exception) -> dict[str, Any]:
    if isinstance(error, RejectError):
        return {"code": error.code, "message": str(error)}
    if isinstance(error, OSError) and error.errno is not None:
        return {"errno": error.errno, "path": error.filename}
    if isinstance(error, _FaultError):
        return {"failure": str(error)}
    if isinstance(error, MemoryError):
        return {"failure": "it ran out of memory"}
    return {"fault": "".join(traceback.format_exception(error))}


def _limit_memory(limits: DecodeLimits, columns: int) -> None:
    """Lets a file that asks for more memory than its pixels need fail in here.

    Args:
        limits: Of the file.
        columns: Bytes that are held of packs, however small the limits of one file.
    """
    most = columns + memory_cap(limits)
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
