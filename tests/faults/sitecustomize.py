"""Makes decoders fall ill in tests: Python loads this where its folder is on PYTHONPATH.

A decoder process then crashes, hangs, takes all memory or raises on a file that begins with one of
the words below, or hangs on a TIFF described as HANG. The product knows nothing of it.
"""

import ctypes
import io
import itertools
import os
import sys
from types import SimpleNamespace
from typing import Any


def _crash() -> None:
    ctypes.string_at(0)  # a segmentation fault, in C


def _abort() -> None:
    os.abort()


def _hang() -> None:
    sum(itertools.repeat(0))  # never returns, and never lets go of Python's lock


def _devour() -> None:
    whole = [bytes(1 << 28) for _ in range(1 << 10)]
    raise AssertionError(f"{len(whole)} quarters of a gigabyte were to be had")


_FAULTS = {b"CRASH": _crash, b"ABORT": _abort, b"HANG": _hang, b"DEVOUR": _devour}
_PASSED = b"LATE"  # crashes a decoder that has decoded before, as damage done earlier would
_CRAMPED = b"CRAMPED"  # finds no memory in a decoder that has decoded before
_DESCRIPTION = 270  # a TIFF's
_ODD = b"RAISE"  # opens as something that raises where no picture does

if "segflow.data.decoder" in sys.orig_argv:
    from PIL import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    _load = ImageFileDirectory_v2.load

    def _load_ill(self: Any, file: Any) -> None:
        _load(self, file)
        if self.get(_DESCRIPTION) == "HANG":
            _hang()

    ImageFileDirectory_v2.load = _load_ill  # type: ignore[method-assign]
    _open = Image.open
    _opened = itertools.count()

    def _open_ill(file: io.BytesIO, *rest: Any, **named: Any) -> Any:
        start = file.getvalue()[:8]
        for word, fault in _FAULTS.items():
            if start.startswith(word):
                fault()
        was_used = next(_opened) > 0
        if was_used and start.startswith(_PASSED):
            _crash()
        if was_used and start.startswith(_CRAMPED):
            raise MemoryError
        if start.startswith(_ODD):
            return SimpleNamespace(size=(1, 1), format="PNG", load=dict, getexif=dict)
        return _open(file, *rest, **named)

    Image.open = _open_ill
