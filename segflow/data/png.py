"""PNG files of one grey channel, written and read again a band of rows at a time.

W3C, Portable Network Graphics (PNG) Specification, third edition. Pillow, which decodes all other
pictures here, holds a picture whole, and refuses to open a giant.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")  # width, height, bits, then grey, deflate and two defaults
_HEADER_AT = 16
_UP = 2  # filter type: what is as it is in the row above becomes 0
_LEVEL = 1
_CHUNK = 1 << 20  # bytes of compressed data, about


class PngWriter:
    """Writes ids as a PNG, rows from top to bottom; of them only the compressed file is kept.

    Rows are filtered by the ones above, so that the insides of regions become zeros: deflate by
    itself finds what is 32 KiB back at most, which a wide picture's next row is not.

    Args:
        size: (height, width) in pixels.
        dtype: uint8 or uint16.
    """

    def __init__(self, size: tuple[int, int], dtype: DTypeLike) -> None:
        kind = np.dtype(dtype)
        header = _HEADER.pack(size[1], size[0], 8 * kind.itemsize, 0, 0, 0, 0)
        self._above = np.zeros(size[1] * kind.itemsize, np.uint8)
        self._deflate = zlib.compressobj(_LEVEL)
        self._chunks = [_SIGNATURE, _chunk(b"IHDR", header)]
        self._pending = bytearray()

    def add(self, rows: NDArray[Any]) -> None:
        """Writes the next rows, [n, width]."""
        stored = np.ascontiguousarray(rows, rows.dtype.newbyteorder(">")).view(np.uint8)
        lines = np.empty((len(stored), 1 + stored.shape[1]), np.uint8)
        lines[:, 0] = _UP
        np.subtract(stored[0], self._above, out=lines[0, 1:])
        np.subtract(stored[1:], stored[:-1], out=lines[1:, 1:])
        self._above = stored[-1].copy()
        self._pending += self._deflate.compress(lines.data)
        if len(self._pending) >= _CHUNK:
            self._end_chunk()

    def finish(self) -> bytes:
        """The whole file, once all rows are there."""
        self._pending += self._deflate.flush()
        self._end_chunk()
        return b"".join([*self._chunks, _chunk(b"IEND", b"")])

    def _end_chunk(self) -> None:
        self._chunks.append(_chunk(b"IDAT", bytes(self._pending)))
        self._pending = bytearray()


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)))


def size_of(data: bytes) -> tuple[int, int]:
    """(height, width) of a PNG file."""
    width, height = _HEADER.unpack_from(data, _HEADER_AT)[:2]
    return height, width


def read_bands(data: bytes, rows: int) -> Iterator[NDArray[Any]]:
    """Reads a file of `PngWriter`'s, so many rows at a time; the last ones may be fewer.

    Yields:
        Ids, uint8 or uint16 [rows, width].

    Raises:
        ValueError: It ends early, or is another program's.
    """
    width, height, bits = _HEADER.unpack_from(data, _HEADER_AT)[:3]
    line = 1 + width * bits // 8
    above = np.zeros(line - 1, np.uint8)
    pending, done = bytearray(), 0
    for part in _inflated(data, rows * line):
        pending += part
        while done < height and len(pending) >= (size := min(rows, height - done) * line):
            lines = np.frombuffer(bytes(pending[:size]), np.uint8).reshape(-1, line)
            del pending[:size]
            stored = _unfiltered(lines, above)
            above, done = stored[-1], done + len(stored)
            yield stored.view(f">u{bits // 8}").astype(f"u{bits // 8}")
    if done < height:
        raise ValueError(f"a PNG that ends behind row {done} of {height}")


def _unfiltered(lines: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if (lines[:, 0] != _UP).any():
        raise ValueError("a PNG of other filters than segflow writes")
    stored = lines[:, 1:].copy()
    stored[0] += above
    return np.cumsum(stored, axis=0, dtype=np.uint8)


def _inflated(data: bytes, most: int) -> Iterator[bytes]:
    """The uncompressed image data, at most so many bytes at once."""
    inflate = zlib.decompressobj()
    position = len(_SIGNATURE)
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        rest = data[position + 8 : position + 8 + size] if kind == b"IDAT" else b""
        while rest:
            yield inflate.decompress(rest, most)
            rest = inflate.unconsumed_tail
        position += size + 12
    yield inflate.flush()
