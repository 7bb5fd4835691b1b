"""Shapes of annotations to masks: polygons as pycocotools draws them, run lengths, ellipses.

A shape is a dict of one of these forms; coordinates are pixels, x to the right, y down, and (0, 0)
is the corner of the first pixel:

- `{"polygons": [[x, y, x, y, …], …]}`: all rings together
- `{"size": [height, width], "counts": […] or "…"}`: COCO's run lengths, plain or compressed
- `{"runs": [zeros, ones, …], "box": [left, top, width, height]}`: row by row in a box, as in CVAT
- `{"ellipse": [x, y, radius x, radius y, degrees clockwise]}`
- `{"png": base64, "box": [left, top]}`: what is not zero belongs to the object, as in LabelMe

What lies outside the image is cut off. All of this comes from strangers: sizes are checked here,
before pycocotools' C code, which trusts them, sees anything.
"""

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from segflow.data import contained
from segflow.data.config import DecodeLimits
from segflow.errors import RejectError

Mask = NDArray[np.bool_]

# pycocotools walks an outline in fifths of a pixel and holds every step: 8 bytes each.
_MAX_OUTLINE = 4_000_000  # pixels
# Beyond this many image sizes a polygon is cut: pycocotools' integers would overflow.
_FAR = 8


def shape_mask(shape: Mapping[str, Any], size: tuple[int, int], limits: DecodeLimits) -> Mask:
    """Draws one shape.

    Args:
        shape: See the module.
        size: (height, width) of the image.
        limits: What decoding a PNG in it may cost.

    Returns:
        bool [height, width].

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


def _polygons(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    height, width = size
    mask = np.zeros(size, bool)
    for ring in shape["polygons"]:
        points = _ring(ring, size)
        if len(points) < 3:
            continue  # a line has no area; pycocotools would take two points for a box
        runs = pycocotools_mask.frPyObjects([points.ravel().tolist()], height, width)
        mask |= pycocotools_mask.decode(runs)[..., 0].astype(bool)
    return mask


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
    if len(points):
        outline = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum()
        if outline > _MAX_OUTLINE:
            raise ValueError(f"an outline of {outline:.0f} pixels, more than {_MAX_OUTLINE}")
    return points


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


def _run_lengths(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    height, width = (int(v) for v in shape["size"])
    if (height, width) != size:
        raise ValueError(f"run lengths for {height}x{width}, in an image of {size[0]}x{size[1]}")
    counts = shape["counts"]
    runs = list(_decompressed(counts)) if isinstance(counts, str) else counts
    return _filled(runs, height * width).reshape(width, height).T


def _decompressed(text: str) -> Iterator[int]:
    """COCO's compressed counts: 5 bits a character, from 48 on; the 6th says that more follow.

    From the fourth on, a count is stored as its difference to the one two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("run lengths are not COCO's compressed form")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
        yield value
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths are cut off")


def _filled(runs: Sequence[int], pixels: int) -> Mask:
    """Zeros and ones in turn, bool [pixels]."""
    counts = np.asarray(runs)
    if counts.ndim != 1 or (counts.size and counts.dtype.kind not in "iu"):
        raise ValueError("run lengths must be integers")
    if counts.size and not 0 <= int(counts.min()) <= int(counts.max()) <= pixels:
        raise ValueError(f"a run length is negative or more than the {pixels} pixels")
    total = int(counts.sum(dtype=np.int64))
    if total != pixels:
        raise ValueError(f"run lengths add up to {total}, expected {pixels} pixels")
    filled: Mask = np.repeat(np.arange(counts.size) % 2 == 1, counts)
    return filled


def _boxed_runs(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    left, top, width, height = (int(v) for v in shape["box"])
    if width < 1 or height < 1 or width * height > 4 * size[0] * size[1]:
        raise ValueError(f"a box of {width} x {height} pixels in an image of {size[1]}x{size[0]}")
    return _placed(_filled(shape["runs"], width * height).reshape(height, width), left, top, size)


def _png(shape: Mapping[str, Any], size: tuple[int, int], limits: DecodeLimits) -> Mask:
    left, top = (int(v) for v in shape["box"])
    data = base64.b64decode(shape["png"], validate=True)
    limits = replace(limits, max_pixels=min(limits.max_pixels, 4 * size[0] * size[1]))
    try:
        values = contained.decode_raw_mask(data, limits)
    except RejectError as error:
        raise ValueError(f"its mask is broken: {error}") from error
    part = np.asarray(values.any(axis=2) if values.ndim == 3 else values > 0)
    return _placed(part, left, top, size)


def _placed(part: Mask, left: int, top: int, size: tuple[int, int]) -> Mask:
    """A part's place in the image, cut off where it sticks out."""
    mask = np.zeros(size, bool)
    rows = slice(max(0, top), min(size[0], top + part.shape[0]))
    columns = slice(max(0, left), min(size[1], left + part.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        inside = part[rows.start - top : rows.stop - top, columns.start - left :]
        mask[rows, columns] = inside[:, : columns.stop - columns.start]
    return mask


def _ellipse(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    """Pixels whose centre lies in the ellipse."""
    x, y, radius_x, radius_y, degrees = (float(v) for v in shape["ellipse"])
    if (
        not all(map(math.isfinite, (x, y, radius_x, radius_y, degrees)))
        or min(radius_x, radius_y) <= 0
    ):
        raise ValueError("an ellipse must have a centre and radii above 0")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    right = np.arange(size[1]) + 0.5 - x
    down = np.arange(size[0])[:, None] + 0.5 - y
    along, across = (right * cos + down * sin) / radius_x, (down * cos - right * sin) / radius_y
    inside: Mask = along * along + across * across <= 1
    return inside


_FORMS: Mapping[str, Callable[[Mapping[str, Any], tuple[int, int]], Mask]] = {
    "polygons": _polygons,
    "counts": _run_lengths,
    "runs": _boxed_runs,
    "ellipse": _ellipse,
}
