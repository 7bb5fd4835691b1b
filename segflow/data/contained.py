"""Decoding where it can do no harm: in processes of their own.

A file that crashes the decoder, hangs it or takes all memory costs that file only. Each thread
that decodes has a decoder process while it does; they start when first needed, are used again,
and are replaced when they die.
"""

import atexit
import contextlib
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data.config import DecodeLimits
from segflow.data.decoder_process import DecoderProcess, LostError, Task
from segflow.data.reading import AS_SHOWN, ReadingConfig
from segflow.data.tiff import is_georeferenced
from segflow.errors import RejectCode, RejectError


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


def close() -> None:
    """Ends the decoders that are idle; those needed later start anew."""
    _decoders.close()


Decode = Callable[[Task, DecodeLimits], NDArray[Any]]


def decode_here(decode: Decode) -> None:
    """Has this process decode by itself from now on: it is a decoder."""
    _decoders.here = decode


def borrow() -> DecoderProcess:
    """A decoder that was idle, or a new one; hand it back, or kill it."""
    return _decoders.borrow()


def hand_back(decoder: DecoderProcess) -> None:
    """Lets others use a decoder; one that has not answered all it was asked is ended."""
    _decoders.hand_back(decoder)


class _Decoders:
    """The decoders of this process; safe to use from several threads."""

    def __init__(self) -> None:
        self.here: Decode | None = None
        self._idle: list[DecoderProcess] = []

    def decode(self, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        """Decodes in an idle decoder, or a new one.

        Raises:
            RejectError: The file cannot be decoded, or a fresh decoder dies, hangs or fails.
            OSError: The task reads its file itself, and the storage failed or did not answer.
        """
        if self.here is not None:
            return self.here(task, limits)
        decoder = self.borrow()
        if not decoder.is_fresh:  # an earlier file's damage may come to light: no verdict yet
            with contextlib.suppress(LostError):
                return self._use(decoder, task, limits)
            decoder = DecoderProcess()
        try:
            return self._use(decoder, task, limits)
        except LostError as error:
            raise error.verdict(task, limits) from error

    def borrow(self) -> DecoderProcess:
        """An idle decoder, or a new one."""
        return self._pop() or DecoderProcess()

    def hand_back(self, decoder: DecoderProcess) -> None:
        """Is idle from now on, if it can serve another."""
        if decoder.can_serve:
            self._idle.append(decoder)
        else:
            decoder.kill()

    def close(self) -> None:
        """Ends the idle decoders."""
        while decoder := self._pop():
            decoder.kill()

    def forget(self) -> None:
        """Leaves the idle decoders to the process that this one was forked from."""
        self._idle.clear()

    def _pop(self) -> DecoderProcess | None:
        try:
            return self._idle.pop()  # one step, whatever other threads do
        except IndexError:
            return None

    def _use(self, decoder: DecoderProcess, task: Task, limits: DecodeLimits) -> NDArray[Any]:
        try:
            pixels = decoder.decode(task, limits)
        except (RejectError, OSError):
            self.hand_back(decoder)
            raise
        except BaseException:  # in the midst of an exchange: its next answer would be the wrong one
            decoder.kill()
            raise
        self.hand_back(decoder)
        return pixels


_decoders = _Decoders()
atexit.register(_decoders.close)
os.register_at_fork(after_in_child=_decoders.forget)
