"""What a decoder process answers, believed only as far as it is sound.

Hostile input may have taken the decoder over. Nothing that it says may cost more than its own
file: every function here raises `ValueError` for what no decoder in good health would say.
"""

import contextlib
import functools
import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from segflow.data.config import DecodeLimits
from segflow.data.handover import SharedMemory
from segflow.errors import RejectCode, RejectError

_OWN_BYTES = 512 << 20  # the libraries' own memory, with room
_BYTES_PER_PIXEL = 32  # 16-bit grey takes most: three integers a pixel on the way to 8 bits
_NUMBERS = "biuf"  # kinds of dtypes
_END_OF_COUNTS = 1 << 63  # what Parquet's integers hold
_PATH = str | None
_UNSOUND = (KeyError, TypeError, OverflowError, RecursionError, EOFError)

_Test = Callable[[Any], bool]


@contextlib.contextmanager
def sound() -> Iterator[None]:
    """Makes a `ValueError` of whatever reading an unsound answer raises."""
    try:
        yield
    except _UNSOUND as error:
        raise ValueError(repr(error)) from error


def memory_cap(limits: DecodeLimits) -> int:
    """Bytes that a decoder may take for one file."""
    return _OWN_BYTES + limits.max_bytes + _BYTES_PER_PIXEL * limits.max_pixels


def refusal(reply: Mapping[str, Any]) -> RejectError | OSError | None:
    """What a reply says against a file; None if it does not."""
    with sound():
        if "code" in reply:
            return RejectError(RejectCode(reply["code"]), printable(reply["message"]))
        if "errno" in reply:
            number, path = reply["errno"], reply["path"]
            _require(path, _PATH, _test(_PATH))
            return OSError(number, os.strerror(number), path)
    return None


def printable(text: Any) -> str:
    """A text that UTF-8 can spell."""
    if not isinstance(text, str):
        raise ValueError(f"expected a text, found {str(text)[:80]!r}")
    return text.encode(errors="replace").decode()


def pixels(reply: Mapping[str, Any], memory: SharedMemory, limits: DecodeLimits) -> NDArray[Any]:
    """The array that a reply describes, out of the memory that both share."""
    with sound():
        shape, dtype = tuple(reply["shape"]), np.dtype(reply["dtype"])
        if dtype.kind not in _NUMBERS or memory.size > memory_cap(limits):
            raise ValueError(f"no pixels: {dtype}, {memory.size} bytes")
        return memory.get(shape, dtype)


def require_types(record: Any) -> None:
    """Compares the fields of a dataclass that was read from JSON with their types."""
    form: Any = type(record)
    for name, kind, fits in _tests(form):
        _require(getattr(record, name), kind, fits)


def _require(value: Any, kind: Any, fits: _Test) -> None:
    if not fits(value):
        raise ValueError(f"expected {kind}, found {str(value)[:80]!r}")


@functools.cache
def _tests(form: Any) -> Sequence[tuple[str, Any, _Test]]:
    """The fields of a dataclass: names, types and what tells whether a value fits."""
    kinds: Mapping[str, Any] = {field.name: field.type for field in fields(form)}
    return [(name, kind, _test(kind)) for name, kind in kinds.items()]


@functools.cache  # every example is asked about: to look at the type each time costs more
def _test(kind: Any) -> _Test:
    """What tells whether a value is of a type."""
    origin, of = get_origin(kind), tuple(map(_test, get_args(kind)))
    if origin is types.UnionType:
        return lambda value: any(fits(value) for fits in of)
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(of[0], value))
    if origin is tuple:
        return lambda value: (
            isinstance(value, tuple)
            and len(value) == len(of)
            and all(fits(one) for fits, one in zip(of, value, strict=True))
        )
    return {int: _is_count, str: _is_text}.get(kind, lambda value: isinstance(value, kind))


def _is_count(value: Any) -> bool:
    """Integers are counts or sizes here."""
    return type(value) is int and 0 <= value < _END_OF_COUNTS


def _is_text(value: Any) -> bool:
    """Such as UTF-8 can spell."""
    return isinstance(value, str) and (value.isascii() or value == printable(value))
