"""A decoder process, seen from the process that starts it: asked, answered, outlived."""

import contextlib
import errno
import json
import math
import os
import signal
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from segflow.data import answers
from segflow.data.config import DecodeLimits
from segflow.data.handover import SharedMemory, buffered, encoded, receive, widen, write
from segflow.errors import RejectCode, RejectError

if TYPE_CHECKING:
    from segflow.data.making import Recipe

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
_GRACE = 10  # seconds for a process to end that has closed its answers
_FLUSH = encoded({"flush": True})
_NO_NOTE, _LONGEST_NOTE = b"\n", 1 << 16  # bytes; a path has at most 4096
_ROOM, _BYTES_PER_PIXEL = 1 << 20, 8  # of an encoded example: noise as PNG takes 3, its mask 2
_OF_IMAGES, _OF_MASKS = ("rgb", "image_rows", "ground_resolution"), ("mask", "mask_rows")


@dataclass(frozen=True)
class Task:
    """What a decoder is asked to decode.

    Attributes:
        decode: A name of `segflow.data.decoder`'s.
        data: A file's bytes.
        options: JSON values that the task needs besides; `path`: of a file that it reads itself.
    """

    decode: str
    data: bytes = b""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> str | None:
        """Which file of a pair it is about."""
        if self.decode in _OF_IMAGES:
            return "image"
        return "mask" if self.decode in _OF_MASKS else None


class LostError(Exception):
    """A decoder process died, or failed as no picture should make it fail: it is of no more use.

    Attributes:
        how: Completes "the decoder".
        died_of: The signal, if it was one.
    """

    def __init__(self, how: str, died_of: int | None = None) -> None:
        super().__init__(how)
        self.how, self.died_of = how, died_of

    def verdict(self, task: Task, limits: DecodeLimits) -> RejectError | OSError:
        """What it says of the file that a fresh decoder was at when it was lost."""
        limit = f"{limits.decode_seconds:g} s (--limits.decode-seconds)"
        path = task.options.get("path")
        if self.died_of == signal.SIGALRM and path is not None:
            return OSError(errno.ETIMEDOUT, f"reading took longer than {limit}", path)
        if self.died_of in (signal.SIGALRM, signal.SIGPROF):
            return RejectError(RejectCode.DECODER_TIMEOUT, f"decoding took longer than {limit}")
        return RejectError(RejectCode.DECODER_CRASH, f"the decoder {self.how}")


def _death(process: subprocess.Popen[bytes]) -> LostError:
    """Of a process that has closed its answers."""
    try:
        code = process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        return LostError("closed its answers and lived on")
    if code < 0:
        return LostError(f"died of {signal.Signals(-code).name}", -code)
    return LostError(f"ended with exit code {code}")


def nonsense(error: ValueError) -> LostError:
    """Of a decoder whose answer was unsound, see `segflow.data.answers`."""
    return LostError(f"answered nonsense: {answers.printable(str(error))}")


class DecoderProcess:
    """One decoder process, for one thread at a time; a process forked from its own has none of it.

    Attributes:
        is_fresh: Whether it was never asked for anything.
        room: Bytes of requests that may lie before it, unread, without anyone having to wait.
        due: Numbers of the rows that it was asked for and has not answered yet, in order.
    """

    def __init__(self) -> None:
        self.is_fresh = True
        self.due: deque[int] = deque()
        self._recipe: Recipe | None = None
        self._limits: DecodeLimits | None = None
        self._most = 0  # bytes of an example
        self._creator = os.getpid()
        self._ends = contextlib.ExitStack()  # what this process holds open
        _all.add(self)
        self._memory = SharedMemory.create()
        self._ends.callback(self._memory.close)
        lifeline, own_end = os.pipe()
        self._ends.callback(os.close, own_end)
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
        # Not the buffer: another thread of the process forked from may have it locked for ever.
        self._ends.callback(self._process.stdin.close)
        self._ends.callback(self._process.stdout.close)
        self._requests, self._replies = self._process.stdin, buffered(self._process.stdout)
        self.room = widen(self._requests)
        widen(self._process.stdout)
        if not self._replies.readline():
            lost = _death(self._process)
            self.kill()
            raise RuntimeError(f"a decoder process did not start: it {lost}")

    def decode(self, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        """Has the process decode a file.

        Raises:
            RejectError: The file cannot be decoded.
            OSError: It could not be read, which may pass.
            LostError: The process died or failed of it, or of what earlier files left behind.
        """
        self.is_fresh = False
        self._memory.put(task.data)
        request: dict[str, Any] = {"decode": task.decode, "options": task.options}
        request["bytes"] = len(task.data)
        if limits is not self._limits:
            request["limits"], self._limits = asdict(limits), limits
        write(self._requests, encoded(request))
        try:
            reply, _ = self._receive()
            return answers.pixels(reply, self._memory, limits)
        except ValueError as error:
            raise nonsense(error) from error
        finally:
            self._memory.shrink()

    def ask(self, recipe: "Recipe", requests: Mapping[int, bytes]) -> None:
        """Asks for the examples of rows of the plan (see `segflow.data.decoder`).

        Args:
            recipe: How to make them.
            requests: Encoded, by the row's number.
        """
        self.is_fresh = False
        if not self.due:  # and so nobody else writes
            self._memory.put(_NO_NOTE)
        taught = b""
        if recipe is not self._recipe:
            taught = encoded({"recipe": recipe.to_dict()})
            self._recipe, self._limits = recipe, None  # the recipe has its own
            self._most = _ROOM + _BYTES_PER_PIXEL * math.prod(recipe.config.size)
        self.due.extend(requests)
        write(self._requests, b"".join((taught, *requests.values(), _FLUSH)))

    def answers(self) -> Iterator[tuple[Mapping[str, Any], list[bytes]]]:
        """The examples of the oldest row that is due, as the process sends them.

        Raises:
            RejectError: There are no more: the row is refused.
            OSError: A file could not be read, which may pass.
            LostError: As in `decode`; or it answered for another row.
        """
        try:
            while "made" in (reply := self._receive(self.due[0]))[0]:
                yield reply[0]["made"], reply[1]
        except (RejectError, OSError):
            self.due.popleft()
            raise
        self.due.popleft()

    def at(self) -> tuple[Task, int | None]:
        """What the process, now dead, was at: what it decoded, and the number of the row.

        By its own account, which is worth as much as its health; nothing and None where that
        does not fit what is due.
        """
        try:
            with answers.sound():
                text = self._memory.get_bytes(min(self._memory.size, _LONGEST_NOTE))
                number, decode, path = [*json.loads(text.partition(b"\n")[0]), "", None][:3]
        except ValueError:
            return Task(""), None
        is_sound = isinstance(decode, str) and isinstance(path, str | None)
        if not is_sound or number not in self.due:
            return Task(""), None
        return Task(decode, options={"path": path}), number

    def _receive(self, number: int | None = None) -> tuple[Mapping[str, Any], list[bytes]]:
        """The next reply, which must be about the row of that number, if there is one."""
        try:
            reply, parts = receive(self._replies, self._most)
            if "fault" in reply:
                raise RuntimeError(f"a decoder process failed:\n{reply['fault']}")
            if reply.get("number") != number:
                raise LostError("answered out of turn")
            if "failure" in reply:
                raise LostError(f"failed: {answers.printable(reply['failure'])}")
            refusal = answers.refusal(reply)
        except EOFError as error:
            raise _death(self._process) from error
        except ValueError as error:
            raise nonsense(error) from error
        if refusal is not None:
            raise refusal
        return reply, parts

    @property
    def is_own(self) -> bool:
        """Whether this process started it, and not one that this was forked from."""
        return os.getpid() == self._creator

    @property
    def can_serve(self) -> bool:
        """Whether another may ask it: it owes no answers, which they would take for theirs.

        The garbage collector may have closed it before the stream that gives it back.
        """
        return self.is_own and not self.due and not self._requests.closed

    def kill(self) -> None:
        """Ends the process at once; one that is not this process's own is only forgotten."""
        if self.is_own:
            self._process.kill()
            self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Closes this process's ends; the decoder ends when no process holds them."""
        self._ends.close()


_all: weakref.WeakSet[DecoderProcess] = weakref.WeakSet()


def _forget_all() -> None:
    """Leaves all decoders, idle or at work, to the process that this one was forked from."""
    for decoder in list(_all):
        decoder.forget()


os.register_at_fork(after_in_child=_forget_all)
