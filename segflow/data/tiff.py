"""The header of a TIFF: what decides whether and how its pixels are read, without any of them."""

import io
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from segflow.data.config import DecodeLimits

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF, either byte order
_LARGEST_HEADER = 32 << 20  # bytes; the tables of 100 gigapixels in tiles of 256 take 24 MiB
_MOST_ENTRIES = 512  # a sound directory has some dozens; each costs Pillow a microsecond or two
_MOST_BANDS = 1024  # hyperspectral cameras have some hundreds; damaged headers claim 65,535
_LARGEST_BLOCK = 96 << 20  # bytes decoded; a strip or tile is decoded as a whole
_MOST_PIXELS = 100_000_000_000  # the largest mosaics and slides; a header may claim 2 ** 64
_LONGEST_SIDE = 1 << 24  # pixels

# TIFF 6.0 (1992); 50000 is Zstandard's registered number, 34925 LZMA's.
_LOSSLESS = (1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000)
_MIN_IS_BLACK, _RGB, _PALETTE, _YCBCR = 1, 2, 3, 6
_STRIPS, _TILES = (273, 279), (324, 325)  # tags of their offsets and of their sizes
_READ = (256, 257, 258, 259, 262, 274, 277, 278, 284, 322, 323, 339)  # below, by their values
_PIXEL_SCALE, _TRANSFORMATION = 33550, 34264  # GeoTIFF 1.1, OGC 19-008r4


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory of a TIFF says.

    Attributes:
        height: In pixels, as stored.
        width: Likewise.
        bands: Samples a pixel.
        bits: Of each sample; 0 where they differ.
        is_unsigned: Whether the samples are unsigned integers.
        photometric: How they are meant, by TIFF's numbers.
        compression: By TIFF's numbers.
        orientation: As in EXIF, 1 to 8.
        block_bytes: Of the largest strip or tile, decoded.
        block_rows: Rows of a strip or tile.
        lists_blocks: Whether it says of as many strips or tiles as its size needs where they lie.
        is_georeferenced: Whether it says where its pixels lie on the ground.
    """

    height: int
    width: int
    bands: int
    bits: int
    is_unsigned: bool
    photometric: int
    compression: int
    orientation: int
    block_bytes: int
    block_rows: int
    lists_blocks: bool
    is_georeferenced: bool

    @property
    def is_lossless(self) -> bool:
        """Whether its compression is known to keep every value."""
        return self.compression in _LOSSLESS

    @property
    def can_be_windowed(self) -> bool:
        """Whether its strips or tiles are all there and small enough to be decoded one by one."""
        is_sound = self.lists_blocks and max(self.height, self.width) <= _LONGEST_SIDE
        is_sound = is_sound and self.height * self.width <= _MOST_PIXELS
        return is_sound and self.block_bytes <= _LARGEST_BLOCK

    def problem(self, depths: tuple[int, ...]) -> str | None:
        """Why its bands cannot be taken as they are stored; `depths` are the bits allowed."""
        if not self.is_unsigned or self.bits not in depths:
            allowed = " or ".join(map(str, depths))
            return f"a TIFF whose samples are no unsigned integers of {allowed} bits"
        if self.photometric not in (_MIN_IS_BLACK, _RGB, _PALETTE, _YCBCR):
            return f"a TIFF of photometric interpretation {self.photometric}"
        if self.orientation != 1:
            return f"a TIFF of orientation {self.orientation}; save it upright"
        return None

    @property
    def has_bands(self) -> bool:
        """Whether its samples are more, or deeper, than the colours that a viewer knows."""
        of_no_color = self.photometric == _MIN_IS_BLACK or self.bands > 4 or self.bits == 16
        return self.bands > 1 and of_no_color

    @property
    def has_palette(self) -> bool:
        """Whether its one band holds indices of colours."""
        return self.photometric == _PALETTE


def is_tiff(start: bytes) -> bool:
    """Whether a file that begins so claims to be a TIFF."""
    return start[:4] in _MAGIC


def is_georeferenced(source: bytes | str) -> bool:
    """Whether a file, given by its bytes or its path, is a TIFF with a place on the ground."""
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        header = read_header(file) if is_tiff(file.read(4)) else None
    return header is not None and header.is_georeferenced


def read_header(file: BinaryIO) -> TiffHeader | None:
    """Reads the first directory; None if the file is no TIFF or its header is broken."""
    try:
        file.seek(0)
        bounded = _Bounded(file)
        start = bounded.read(8)
        if not is_tiff(start):
            return None
        if start[2:3] == b"+" or start[3:4] == b"+":
            start += bounded.read(8)
        directory = ImageFileDirectory_v2(start)
        counts = _counts(bounded, start, directory.next)
        bounded.seek(directory.next)
        directory.load(cast(BinaryIO, bounded))
        return _header(directory, counts)
    except Exception:  # whatever a damaged directory leads Pillow to
        return None


def windowed_header(path: str, limits: DecodeLimits) -> TiffHeader | None:
    """The header of a file that is over the caps, but a TIFF that can be read by window.

    None for any other, whatever is wrong with it.
    """
    try:
        with Path(path).open("rb") as file:
            header = read_header(file)
        if header is None or not header.can_be_windowed:
            return None
        pixels, size = header.height * header.width, Path(path).stat().st_size
    except OSError:
        return None
    return header if pixels > limits.max_pixels or size > limits.max_bytes else None


def _counts(file: "_Bounded", start: bytes, offset: int) -> Mapping[int, int]:
    """How many values each tag of a directory has, as its entries say; none is read."""
    order, is_big = "<" if start[:2] == b"II" else ">", b"+" in start[2:4]
    head, entry = (f"{order}Q", f"{order}HHQ8x") if is_big else (f"{order}H", f"{order}HHI4x")
    file.seek(offset)
    (entries,) = struct.unpack(head, file.read(struct.calcsize(head)))
    if entries > _MOST_ENTRIES:
        raise ValueError("a directory larger than any sound one")
    data = file.read(entries * struct.calcsize(entry))
    counts = {tag: count for tag, _, count in struct.iter_unpack(entry, data)}
    if len(counts) < entries:
        raise ValueError("a directory that holds a tag twice")
    if max(counts.get(tag, 0) for tag in _READ) > _MOST_BANDS:
        raise ValueError("a tag of more values than any picture has bands")
    return counts


def _header(tags: ImageFileDirectory_v2, counts: Mapping[int, int]) -> TiffHeader | None:
    height, width, bands = int(tags[257]), int(tags[256]), int(tags.get(277, 1))
    bits = set(tags.get(258, (1,)))
    formats = set(tags.get(339, (1,)))
    if min(height, width, bands) < 1 or bands > _MOST_BANDS:
        return None
    depth = int(bits.pop()) if len(bits) == 1 else 0
    is_chunky, is_tiled = int(tags.get(284, 1)) == 1, 322 in tags
    across, down = width, min(height, int(tags.get(278, height)))
    if is_tiled:
        across, down = int(tags[322]), int(tags[323])
    blocks = math.ceil(width / across) * math.ceil(height / down) * (1 if is_chunky else bands)
    offsets, sizes = _TILES if is_tiled else _STRIPS
    return TiffHeader(
        height=height,
        width=width,
        bands=bands,
        bits=depth,
        is_unsigned=formats == {1},
        photometric=int(tags.get(262, -1)),
        compression=int(tags.get(259, 1)),
        orientation=int(tags.get(274, 1)),
        block_bytes=across * down * (bands if is_chunky else 1) * math.ceil(max(depth, 1) / 8),
        block_rows=down,
        lists_blocks=min(counts.get(offsets, 0), counts.get(sizes, 0)) >= blocks,
        is_georeferenced=_PIXEL_SCALE in tags or _TRANSFORMATION in tags,
    )


class _Bounded(io.RawIOBase):
    """A file of which only so much may be read: a hostile tag may claim to fill all of it.

    What is cut off raises; Pillow would but warn of it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, _LARGEST_HEADER

    def read(self, size: int = -1) -> bytes:
        self._left -= size
        if size < 0 or self._left < 0:
            raise ValueError("a header larger than any sound one")
        data = self._file.read(size)
        if len(data) < size:
            raise ValueError("a header that is cut off")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
