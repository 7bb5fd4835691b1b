"""Decoding where it can do no harm: in processes of their own.

A file that crashes the decoder, hangs it or takes all memory costs that file only. Each thread
that decodes has a decoder process while it does; they start when first needed, are used again,
and are replaced when they die.
"""

import atexit
import contextlib
import errno
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data.config import DecodeLimits
from segflow.data.handover import SharedMemory, receive, send
from segflow.data.reading import AS_SHOWN, ReadingConfig
from segflow.data.tiff import is_georeferenced
from segflow.errors import RejectCode, RejectError

_MODULE = "segflow.data.decoder"
_ENVIRONMENT = {
    # Threads that decoding does not use; their stacks would count against the cap on memory.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # glibc's malloc: keep the memory of one picture for the next. Asking the kernel for it anew,
    # page by page, takes a third of the time of decoding a small one.
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


def decode_rgb(
    data: bytes, limits: DecodeLimits, reading: ReadingConfig = AS_SHOWN
) -> NDArray[np.uint8]:
    """`segflow.data.decode.decode_rgb`, contained.

    Returns:
        uint8 [height, width, 3].

    Raises:
        RejectError: As there; and `decoder_crash` or `decoder_timeout`.
    """
    return _decoders.decode(Task("rgb", data, {"reading": reading.to_dict()}), limits)


def decode_raw_mask(data: bytes, limits: DecodeLimits) -> NDArray[Any]:
    """`segflow.data.masks.decode_raw_mask`, contained.

    Returns:
        Integers [height, width], or uint8 [height, width, 3] for colour files.

    Raises:
        RejectError: As there; and `decoder_crash` or `decoder_timeout`.
    """
    return _decoders.decode(Task("mask", data), limits)


def image_rows(
    path: str, top: int, count: int, limits: DecodeLimits, reading: ReadingConfig
) -> NDArray[np.uint8]:
    """`segflow.data.geotiff.image_rows`, contained: uint8 [count, width, 3].

    Raises:
        RejectError: As there; `decoder_crash`, `decoder_timeout`; `source_changed`: it is gone.
        OSError: The storage failed in a way that may pass, or did not answer.
    """
    options = {"path": path, "top": top, "count": count, "reading": reading.to_dict()}
    with _gone_is_changed():
        return _decoders.decode(Task("image_rows", options=options), limits)


def mask_rows(path: str, top: int, count: int, limits: DecodeLimits) -> NDArray[Any]:
    """`segflow.data.geotiff.mask_rows`, contained: [count, width], or [count, width, 3].

    Raises:
        RejectError: As there; `decoder_crash`, `decoder_timeout`; `source_changed`: it is gone.
        OSError: The storage failed in a way that may pass, or did not answer.
    """
    with _gone_is_changed():
        task = Task("mask_rows", options={"path": path, "top": top, "count": count})
        return _decoders.decode(task, limits)


def image_size(data: bytes, limits: DecodeLimits) -> tuple[int, int]:
    """(height, width) by a file's header, as `segflow.data.decode.open_image` finds it, contained.

    Raises:
        RejectError: As there; and `decoder_crash` or `decoder_timeout`.
    """
    height, width = _decoders.decode(Task("size", data), limits).tolist()
    return height, width


def ground_resolution(source: bytes | str, limits: DecodeLimits) -> float | None:
    """`segflow.data.geotiff.ground_resolution` of a file's bytes, or a path, contained.

    Raises:
        RejectError: `decoder_crash`, `decoder_timeout`; `source_changed`: the path is gone.
        OSError: The storage failed in a way that may pass, or did not answer.
    """
    with _gone_is_changed():
        if not is_georeferenced(source):  # the most: spares a turn of the decoder
            return None
        data, options = (b"", {"path": source}) if isinstance(source, str) else (source, {})
        (found,) = _decoders.decode(Task("ground_resolution", data, options), limits).tolist()
    return None if math.isnan(found) else float(found)


@contextlib.contextmanager
def _gone_is_changed() -> Iterator[None]:
    """A path that is read by window was there when its header was read."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RejectError(RejectCode.SOURCE_CHANGED, "gone since it was listed") from error


@dataclass(frozen=True)
class Task:
    """What a decoder is asked to do.

    Attributes:
        decode: A name of `segflow.data.decoder`'s.
        data: A file's bytes.
        options: JSON values that the task needs besides; `path`: of a file that it reads itself.
    """

    decode: str
    data: bytes = b""
    options: Mapping[str, Any] = field(default_factory=dict)


def close() -> None:
    """Ends the decoders that are idle; those needed later start anew."""
    _decoders.close()


class _LostError(Exception):
    """A decoder process died, or failed as no picture should make it fail: it is of no more use.

    Attributes:
        how: Completes "the decoder".
        died_of: The signal, if it was one.
    """

    def __init__(self, how: str, died_of: int | None = None) -> None:
        super().__init__(how)
        self.how, self.died_of = how, died_of


def _death(returncode: int) -> _LostError:
    """Of a process; `returncode` is as `subprocess` gives it."""
    if returncode < 0:
        return _LostError(f"died of {signal.Signals(-returncode).name}", -returncode)
    return _LostError(f"ended with exit code {returncode}")


class _Decoder:
    """One decoder process, for one thread at a time."""

    def __init__(self) -> None:
        self.is_fresh = True
        self._limits: DecodeLimits | None = None
        self._memory = SharedMemory.create()
        lifeline, self._lifeline = os.pipe()
        inherited = (self._memory.descriptor, lifeline)
        # -P: a folder called segflow where the command is run must not stand in for the package.
        command = [sys.executable, "-P", "-m", _MODULE, *map(str, inherited)]
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=inherited,
            env=os.environ | _ENVIRONMENT,
        )
        os.close(lifeline)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        if not self._replies.readline():
            raise RuntimeError(f"a decoder process did not start: exit code {self.kill()}")

    def decode(self, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        """Has the process decode a file.

        Raises:
            RejectError: The file cannot be decoded.
            OSError: It could not be read, which may pass.
            _LostError: The process died or failed of it, or of what earlier files left behind.
        """
        self.is_fresh = False
        self._memory.put(task.data)
        request: dict[str, Any] = {"decode": task.decode, "options": task.options}
        request["bytes"] = len(task.data)
        if limits is not self._limits:
            request["limits"], self._limits = asdict(limits), limits
        send(self._requests, request)
        try:
            reply = receive(self._replies)
        except EOFError as error:
            raise _death(self._process.wait()) from error
        try:
            if "failure" in reply:
                raise _LostError(f"failed: {reply['failure']}")
            if "code" in reply:
                raise RejectError(RejectCode(reply["code"]), reply["message"])
            if "errno" in reply:
                raise OSError(reply["errno"], os.strerror(reply["errno"]))
            return self._memory.get(tuple(reply["shape"]), reply["dtype"])
        finally:
            self._memory.shrink()

    def kill(self) -> int:
        """Ends the process at once; returns its exit code."""
        self._process.kill()
        self.forget()
        return self._process.wait()

    def forget(self) -> None:
        """Closes this process's ends; the decoder ends when no process holds them."""
        os.close(self._lifeline)
        self._requests.close()
        self._replies.close()
        self._memory.close()


class _Decoders:
    """The decoders of this process; safe to use from several threads."""

    def __init__(self) -> None:
        self._idle: list[_Decoder] = []

    def decode(self, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        """Decodes in an idle decoder, or a new one.

        Raises:
            RejectError: The file cannot be decoded, or a fresh decoder dies, hangs or fails.
            OSError: The task reads its file itself, and the storage failed or did not answer.
        """
        decoder = self._pop() or _Decoder()
        if not decoder.is_fresh:  # an earlier file's damage may come to light: no verdict yet
            with contextlib.suppress(_LostError):
                return self._use(decoder, task, limits)
            decoder = _Decoder()
        try:
            return self._use(decoder, task, limits)
        except _LostError as error:
            raise _verdict(error, task, limits) from error

    def close(self) -> None:
        """Ends the idle decoders."""
        while decoder := self._pop():
            decoder.kill()

    def forget(self) -> None:
        """Leaves the decoders to the process that this one was forked from."""
        while decoder := self._pop():
            decoder.forget()

    def _pop(self) -> _Decoder | None:
        try:
            return self._idle.pop()  # one step, whatever other threads do
        except IndexError:
            return None

    def _use(self, decoder: _Decoder, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        try:
            pixels = decoder.decode(task, limits)
        except (RejectError, OSError):
            self._idle.append(decoder)
            raise
        except BaseException:  # in the midst of an exchange: its next answer would be the wrong one
            decoder.kill()
            raise
        self._idle.append(decoder)
        return pixels


def _verdict(lost: _LostError, task: Task, limits: DecodeLimits) -> RejectError | OSError:
    limit = f"{limits.decode_seconds:g} s (--limits.decode-seconds)"
    if lost.died_of == signal.SIGALRM and "path" in task.options:
        return OSError(errno.ETIMEDOUT, f"reading took longer than {limit}", task.options["path"])
    if lost.died_of in (signal.SIGALRM, signal.SIGPROF):
        return RejectError(RejectCode.DECODER_TIMEOUT, f"decoding took longer than {limit}")
    return RejectError(RejectCode.DECODER_CRASH, f"the decoder {lost.how}")


_decoders = _Decoders()
atexit.register(_decoders.close)
os.register_at_fork(after_in_child=_decoders.forget)
