"""Pictures for the tests of reading: encoded by Pillow, or byte by byte where it cannot."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from segflow.data.config import DecodeLimits
from segflow.data.masks import decode_raw_mask, raw_to_ids
from segflow.label_map import LabelMap

LIMITS = DecodeLimits()


def photo(height: int = 12, width: int = 16) -> np.ndarray:
    """Smooth colours, uint8 [height, width, 3]: what lossy codecs change little."""
    rows, columns = np.mgrid[:height, :width]
    channels = (rows * 255 // height, columns * 255 // width, (rows + columns) * 127 // height)
    return np.stack(channels, -1).clip(0, 255).astype(np.uint8)


def decode_mask(data: bytes, label_map: LabelMap, limits: DecodeLimits) -> np.ndarray:
    """A mask file's class ids."""
    return raw_to_ids(decode_raw_mask(data, limits), label_map)


def encode(picture: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes that Pillow saves."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette_image(indices: Sequence[Sequence[int]], colors: Sequence[int]) -> Image.Image:
    """A picture of mode P; `colors` are r, g, b of index 0, then of 1, and so on."""
    image = Image.fromarray(np.array(indices, np.uint8))
    image.putpalette(bytes(colors))
    return image


def oriented(orientation: int) -> Image.Exif:
    """EXIF data that say nothing but an orientation, 1 to 8."""
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def png(
    size: tuple[int, int],
    depth: int,
    color_type: int,
    rows: Sequence[bytes],
    *,
    before_header: bytes = b"",
) -> bytes:
    """A PNG of (height, width) with the packed bytes of each row, written by hand."""
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", data), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + before_header + b"".join(chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(
    size: tuple[int, int],
    bits: int,
    data: bytes,
    *,
    photometric: int = 1,
    sample_format: int = 1,
    samples: int = 1,
    big_endian: bool = False,
) -> bytes:
    """An uncompressed TIFF of one strip, written by hand.

    `photometric`: 0 white is zero, 1 black is zero, 2 RGB. `sample_format`: 1 unsigned, 2 signed.
    """
    order = ">" if big_endian else "<"
    tags = {
        256: (3, [size[1]]),
        257: (3, [size[0]]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [0]),  # the strip's offset, known once the directory's length is
        277: (3, [samples]),
        278: (3, [size[0]]),
        279: (4, [len(data)]),
        339: (3, [sample_format] * samples),
    }
    after_directory = 8 + 2 + 12 * len(tags) + 4
    long_values = sum(2 * len(v) for kind, v in tags.values() if kind == 3 and len(v) > 2)
    tags[273] = (4, [after_directory + long_values])
    directory, values = b"", b""
    for tag, (kind, numbers) in tags.items():
        packed = struct.pack(f"{order}{len(numbers)}{'HI'[kind - 3]}", *numbers)
        if len(packed) > 4:
            values, packed = (
                values + packed,
                struct.pack(f"{order}I", after_directory + len(values)),
            )
        directory += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    start = struct.pack(f"{order}2sHIH", b"MM" if big_endian else b"II", 42, 8, len(tags))
    return start + directory + bytes(4) + values + data


def claiming_tiff(
    height: int, width: int, tile: int = 256, blocks: int = 1, planes: int = 1
) -> io.BytesIO:
    """A TIFF of square tiles that lists so many `blocks`, all of them at one place."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: planes, 284: 2}
    tags |= {322: tile, 323: tile, 324: 0, 325: 0}
    tables = 8 + 2 + 12 * len(tags) + 4
    data = struct.pack("<4sIH", b"II*\0", 8, len(tags))
    for tag, value in tags.items():
        lists_blocks = tag in (324, 325) and blocks > 1
        entry = (blocks, tables) if lists_blocks else (1, value)
        data += struct.pack("<HHII", tag, 4, *entry)
    return io.BytesIO(data + bytes(4) + bytes(4 * blocks))


def bmp(size: tuple[int, int], bits: int, palette: Sequence[int], rows: Sequence[bytes]) -> bytes:
    """An uncompressed BMP of grey `palette` entries; `rows` from top to bottom, packed."""
    colors = b"".join(bytes([grey, grey, grey, 0]) for grey in palette)
    pixels = b"".join(row.ljust(-(-len(row) // 4) * 4, b"\0") for row in reversed(rows))
    start = 14 + 40 + len(colors)
    file = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    fields = (40, size[1], size[0], 1, bits, 0, len(pixels), 0, 0, len(palette), 0)
    return file + struct.pack("<IiiHHIIiiII", *fields) + colors + pixels
