"""Shapes of annotations to masks: polygons as pycocotools draws them, run lengths, ellipses.

A shape is a dict of one of these forms; coordinates are pixels, x to the right, y down, and (0, 0)
is the corner of the first pixel:

- `{"polygons": [[x, y, x, y, …], …]}`: all rings together
- `{"size": [height, width], "counts": […] or "…"}`: COCO's run lengths, plain or compressed
- `{"runs": [zeros, ones, …], "box": [left, top, width, height]}`: row by row in a box, as in CVAT
- `{"ellipse": [x, y, radius x, radius y, degrees clockwise]}`
- `{"png": base64, "box": [left, top]}`: what is not zero belongs to the object, as in LabelMe

What lies outside the image is cut off. A shape costs what its own bounding box does, however large
the image is. All of this comes from strangers: sizes are checked here,
before pycocotools' C code, which trusts them, sees anything.
"""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from segflow.data import contained
from segflow.data.config import DecodeLimits
from segflow.errors import RejectError

Mask = NDArray[np.bool_]
Runs = Sequence[int] | NDArray[np.int64]

# pycocotools walks an outline in fifths of a pixel and holds every step: 8 bytes each.
_MAX_OUTLINE = 4_000_000  # pixels
# An ellipse is worked out in float64, this many pixels at a time.
_BAND = 1 << 18
# Beyond this many image sizes a polygon is cut: pycocotools' integers would overflow.
_FAR = 8


@dataclass(frozen=True)
class Region:
    """A shape's part of the image; beyond it, no pixel belongs to the shape.

    Attributes:
        top: Row of the image where `mask` begins.
        left: Column of the image where `mask` begins.
        mask: bool [height, width], wholly inside the image.
    """

    top: int
    left: int
    mask: Mask

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the image that `mask` covers."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def draw_shape(shape: Mapping[str, Any], size: tuple[int, int], limits: DecodeLimits) -> Region:
    """Draws one shape.

    Args:
        shape: See the module.
        size: (height, width) of the image.
        limits: What decoding a PNG in it may cost.

    Raises:
        ValueError: The shape is impossible, such as run lengths that don't add up.
        TypeError, KeyError, OverflowError: It is no shape.
    """
    if "png" in shape:
        return _png(shape, size, limits)
    for key, draw in _FORMS.items():
        if key in shape:
            return draw(shape, size)
    raise ValueError(f"no known shape: {sorted(shape)}")


def rectangle(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """The shape of an upright box."""
    return {"polygons": [[left, top, right, top, right, bottom, left, bottom]]}


def _polygons(shape: Mapping[str, Any], size: tuple[int, int]) -> Region:
    # pycocotools rounds, so it must see the polygon where it lies in the whole image. It goes along
    # outlines only: decoding its runs would cost the whole image, and is done here.
    rings = [_ring(ring, size) for ring in shape["polygons"]]
    outline = sum(map(_outline, rings))
    if outline > _MAX_OUTLINE:
        raise ValueError(f"an outline of {outline:.0f} pixels, more than {_MAX_OUTLINE}")
    # A line has no area; pycocotools would take two points for a box.
    outlines = [points.ravel().tolist() for points in rings if len(points) >= 3]
    if not outlines:
        return _EMPTY
    runs = pycocotools_mask.merge(pycocotools_mask.frPyObjects(outlines, *size))
    return _from_columns(_decompressed(runs["counts"].decode("ascii")), size)


def _ring(ring: Any, size: tuple[int, int]) -> NDArray[np.float64]:
    """Checked points, float64 [n, 2]."""
    numbers = np.asarray(ring, np.float64)
    if numbers.ndim not in (1, 2) or numbers.size % 2:
        raise ValueError("a polygon must be x, y, x, y, …")
    points = numbers.reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a polygon has a coordinate that is no number")
    far = _FAR * max(size)
    if np.abs(points).max(initial=0) > far:
        points = _cut(points, -far, far)
    return points


def _outline(points: NDArray[np.float64]) -> float:
    """Pixels that pycocotools walks along a ring."""
    steps = np.abs(points - np.roll(points, 1, axis=0))
    return float(steps.max(axis=1, initial=0).sum())


def _cut(points: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Cuts a polygon to the square from low to high (Sutherland & Hodgman 1974)."""
    for axis, bound, sign in ((0, low, 1), (0, high, -1), (1, low, 1), (1, high, -1)):
        inside = sign * (points[:, axis] - bound) >= 0
        kept: list[NDArray[np.float64]] = []
        for i in range(len(points)):
            here, before = points[i], points[i - 1]
            if inside[i] != inside[i - 1]:
                share = (bound - before[axis]) / (here[axis] - before[axis])
                crossing = before + share * (here - before)
                crossing[axis] = bound
                kept.append(crossing)
            if inside[i]:
                kept.append(here)
        points = np.array(kept).reshape(-1, 2)
    return points


def _run_lengths(shape: Mapping[str, Any], size: tuple[int, int]) -> Region:
    height, width = (int(v) for v in shape["size"])
    if (height, width) != size:
        raise ValueError(f"run lengths for {height}x{width}, in an image of {size[0]}x{size[1]}")
    counts = shape["counts"]
    return _from_columns(_decompressed(counts) if isinstance(counts, str) else counts, size)


def _decompressed(text: str) -> NDArray[np.int64]:
    """COCO's compressed counts, int64 [n]: 5 bits a character, from 48 on; the 6th: more follow.

    From the fourth on, a count is stored as its difference to the one two before.
    """
    bits = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    if not bits.size:
        return bits
    if bits.min() < 0 or bits.max() > 63:
        raise ValueError("run lengths are not COCO's compressed form")
    if bits[-1] & 32:
        raise ValueError("compressed run lengths are cut off")
    lasts = np.flatnonzero(bits & 32 == 0)
    firsts = np.concatenate(([0], lasts[:-1] + 1))
    shifts = 5 * (np.arange(bits.size) - np.repeat(firsts, lasts - firsts + 1))
    if shifts.max() > 30:
        raise ValueError("run lengths are not COCO's compressed form")
    counts: NDArray[np.int64] = np.add.reduceat((bits & 31) << shifts, firsts)
    counts -= (bits[lasts] >> 4) << (shifts[lasts] + 5)  # the 5th bit of the last: negative
    for every_second in (counts[1::2], counts[2::2]):
        np.cumsum(every_second, out=every_second)
    return counts


def _from_columns(runs: Runs, size: tuple[int, int]) -> Region:
    """The bounding box of zeros and ones in turn that go down each column of the image."""
    height, width = size
    ends = _run_ends(runs, height * width)
    starts, stops = ends[:-1:2], ends[1::2]
    is_one = stops > starts
    if not is_one.any():
        return _EMPTY
    first, last = starts[is_one], stops[is_one] - 1
    left, right = int(first[0]) // height, int(last[-1]) // height + 1
    top, bottom = 0, height
    if (first // height == last // height).all():  # none goes on at the top of the next column
        top, bottom = int((first % height).min()), int((last % height).max()) + 1
    return Region(top, left, _window(ends, height, (left, right), (top, bottom)).T)


def _run_ends(runs: Runs, pixels: int) -> NDArray[np.int64]:
    """Where each of the runs ends, int64 [n], once they are found to fill the pixels."""
    counts = np.asarray(runs)
    if counts.ndim != 1 or (counts.size and counts.dtype.kind not in "iu"):
        raise ValueError("run lengths must be integers")
    if counts.size and not 0 <= int(counts.min()) <= int(counts.max()) <= pixels:
        raise ValueError(f"a run length is negative or more than the {pixels} pixels")
    ends: NDArray[np.int64] = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if ends.size else 0
    if total != pixels:
        raise ValueError(f"run lengths add up to {total}, expected {pixels} pixels")
    return ends


def _window(
    ends: NDArray[np.int64], length: int, lines: tuple[int, int], places: tuple[int, int]
) -> Mask:
    """A part of zeros and ones in turn that go along lines of a length.

    Args:
        ends: Where each run ends, counted through all lines.
        length: Pixels of a line.
        lines: First line of the part, and the one after the last.
        places: First pixel of each line that is in the part, and the one after the last.

    Returns:
        bool [lines, places].
    """
    (first, last), (start, stop) = lines, places
    shape = max(0, last - first), max(0, stop - start)
    line, place = np.divmod(ends, length)
    inside = (line - first) * shape[1] + np.clip(place - start, 0, shape[1])
    lengths = np.diff(np.clip(inside, 0, shape[0] * shape[1]), prepend=0)
    return np.repeat(np.arange(ends.size) % 2 == 1, lengths).reshape(shape)


def _boxed_runs(shape: Mapping[str, Any], size: tuple[int, int]) -> Region:
    left, top, width, height = (int(v) for v in shape["box"])
    if width < 1 or height < 1 or width * height > 4 * size[0] * size[1]:
        raise ValueError(f"a box of {width} x {height} pixels in an image of {size[1]}x{size[0]}")
    ends = _run_ends(shape["runs"], width * height)
    rows, columns = _inside(top, height, size[0]), _inside(left, width, size[1])
    return Region(max(0, top), max(0, left), _window(ends, width, rows, columns))


def _png(shape: Mapping[str, Any], size: tuple[int, int], limits: DecodeLimits) -> Region:
    left, top = (int(v) for v in shape["box"])
    data = base64.b64decode(shape["png"], validate=True)
    limits = replace(limits, max_pixels=min(limits.max_pixels, 4 * size[0] * size[1]))
    try:
        values = contained.decode_raw_mask(data, limits)
    except RejectError as error:
        raise ValueError(f"its mask is broken: {error}") from error
    part = np.asarray(values.any(axis=2) if values.ndim == 3 else values > 0)
    rows = slice(*_inside(top, part.shape[0], size[0]))
    columns = slice(*_inside(left, part.shape[1], size[1]))
    return Region(max(0, top), max(0, left), part[rows, columns])


def _inside(start: int, length: int, limit: int) -> tuple[int, int]:
    """What of a part that begins at `start` lies in the image: its first pixel, one after last."""
    first = min(length, max(0, -start))
    return first, max(first, min(length, limit - start))


def _ellipse(shape: Mapping[str, Any], size: tuple[int, int]) -> Region:
    """Pixels whose centre lies in the ellipse."""
    x, y, radius_x, radius_y, degrees = (float(v) for v in shape["ellipse"])
    if (
        not all(map(math.isfinite, (x, y, radius_x, radius_y, degrees)))
        or min(radius_x, radius_y) <= 0
    ):
        raise ValueError("an ellipse must have a centre and radii above 0")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    left, right = _reach(x, math.hypot(radius_x * cos, radius_y * sin), size[1])
    top, bottom = _reach(y, math.hypot(radius_x * sin, radius_y * cos), size[0])
    mask = np.zeros((bottom - top, right - left), bool)
    across = np.arange(left, right) + 0.5 - x
    rows = max(1, _BAND // max(1, right - left))
    for row in range(top, bottom, rows):
        down = np.arange(row, min(bottom, row + rows))[:, None] + 0.5 - y
        major, minor = (
            (across * cos + down * sin) / radius_x,
            (down * cos - across * sin) / radius_y,
        )
        mask[row - top : row - top + rows] = major * major + minor * minor <= 1
    return Region(top, left, mask)


def _reach(centre: float, radius: float, limit: int) -> tuple[int, int]:
    """First pixel and one after last that may lie within a radius, with one more on each side."""
    first = int(min(limit, max(0, centre - radius - 1)))
    return first, int(max(first, min(limit, centre + radius + 2)))


_EMPTY = Region(0, 0, np.zeros((0, 0), bool))
_FORMS: Mapping[str, Callable[[Mapping[str, Any], tuple[int, int]], Region]] = {
    "polygons": _polygons,
    "counts": _run_lengths,
    "runs": _boxed_runs,
    "ellipse": _ellipse,
}
