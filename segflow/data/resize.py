"""Resizing of images and masks, and the way back from the model's size to the source's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow.data.config import MaskResize
from segflow.dataset import ResizePolicy

PADDING = 128  # grey; what the models' normalisation makes nearly zero
_LONGEST = 16  # crops; bounds the logits of a strip, which are kept until it is resized
_VOTED_AT_ONCE = 1 << 20  # source pixels; bounds what the majority's sums take


@dataclass(frozen=True)
class Placement:
    """Where a source picture comes to lie in a target of fixed size, in pixels.

    The source, `source` = (height, width), is scaled to `inner`, whose top left corner comes to
    lie at (`top`, `left`) of the target. What reaches over the target is cut off, in which case
    `top` or `left` is negative; what of the target is left over is padding.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    inner: tuple[int, int]
    top: int
    left: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the target that the source fills."""
        rows, columns = self.seen
        return (
            slice(rows.start + self.top, rows.stop + self.top),
            slice(columns.start + self.left, columns.stop + self.left),
        )

    @property
    def seen(self) -> tuple[slice, slice]:
        """Rows and columns of the scaled source that lie in the target."""
        rows, columns = (
            slice(max(0, -start), min(inner, target - start))
            for start, inner, target in zip(
                (self.top, self.left), self.inner, self.target, strict=True
            )
        )
        return rows, columns


def place(source: tuple[int, int], target: tuple[int, int], policy: ResizePolicy) -> Placement:
    """Places a source of (height, width) into a target of (height, width).

    `stretch` fills the target; `letterbox` keeps the aspect ratio and pads; `crop` keeps it and
    cuts off what the target cannot hold, both in equal parts on either side. `tile` keeps every
    pixel as it is: the source's top left corner, padded below and to the right.
    """
    if policy == "stretch":
        return Placement(source, target, target, 0, 0)
    if policy == "tile":
        return Placement(source, target, source, 0, 0)
    scales = (target[0] / source[0], target[1] / source[1])
    if policy == "crop":
        inner = (
            max(target[0], round(source[0] * max(scales))),
            max(target[1], round(source[1] * max(scales))),
        )
    else:
        inner = (
            min(target[0], max(1, round(source[0] * min(scales)))),
            min(target[1], max(1, round(source[1] * min(scales)))),
        )
    return Placement(
        source, target, inner, (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    )


def place_whole(
    source: tuple[int, int], target: tuple[int, int], policy: ResizePolicy
) -> Placement:
    """As `place`, but what would be cut off stays: the target grows by it.

    The scale of a crop is that of `place`, except for strips more than 16 crops long, which are
    squeezed to that.
    """
    placement = place(source, target, policy)
    if policy in ("stretch", "letterbox"):
        return placement
    height, width = placement.inner
    if policy == "crop":
        height, width = min(height, _LONGEST * target[0]), min(width, _LONGEST * target[1])
    grown = max(height, target[0]), max(width, target[1])
    return Placement(source, grown, (height, width), 0, 0)


def resize_image(image: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """Resizes by a bilinear filter that averages when shrinking; padding is mid-grey.

    Args:
        image: uint8 [height, width, 3].
        placement: From `place` with the image's size as source.

    Returns:
        uint8 [target height, target width, 3].
    """
    rows, columns = placement.seen
    if placement.source == placement.inner:
        resized = image[rows, columns]
    else:
        # Only what is seen is computed: of a narrow strip, the rest could be a thousand times it.
        (height, width), (inner_height, inner_width) = placement.source, placement.inner
        part = (
            columns.start * width / inner_width,
            rows.start * height / inner_height,
            columns.stop * width / inner_width,
            rows.stop * height / inner_height,
        )
        size = (columns.stop - columns.start, rows.stop - rows.start)
        picture = Image.fromarray(image)
        resized = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=part))
    return padded(resized, placement, PADDING)


def resize_mask(
    mask: NDArray[Any], placement: Placement, ignore_id: int, how: MaskResize = "nearest"
) -> NDArray[Any]:
    """Resizes ids so that none is invented; padding is `ignore_id`.

    Args:
        mask: Integers [height, width].
        placement: From `place` with the mask's size as source.
        ignore_id: Fills the padding.
        how: `nearest` takes the source pixel that holds the target pixel's centre; `majority`
            the id that fills most of the target pixel's area, of equals the lowest. The ignore
            id has a vote like any other.

    Returns:
        [target height, target width] of the same dtype.
    """
    if placement.source == placement.inner:
        return padded(mask[placement.seen], placement, ignore_id)
    resize = _majority if how == "majority" else _nearest
    return padded(resize(mask, placement), placement, ignore_id)


def padded(picture: NDArray[Any], placement: Placement, value: int) -> NDArray[Any]:
    """Lays what is seen of a scaled source, [rows, columns, …], into a target full of `value`."""
    if picture.shape[:2] == placement.target:
        return picture
    target = np.full((*placement.target, *picture.shape[2:]), value, picture.dtype)
    target[placement.box] = picture
    return target


def _nearest(mask: NDArray[Any], placement: Placement) -> NDArray[Any]:
    """The source pixels that hold the target pixels' centres; integer arithmetic."""
    rows, columns = (
        (2 * np.arange(seen.start, seen.stop, dtype=np.int64) + 1) * source // (2 * inner)
        for seen, source, inner in zip(
            placement.seen, placement.source, placement.inner, strict=True
        )
    )
    return mask[rows[:, None], columns[None, :]]


def _majority(mask: NDArray[Any], placement: Placement) -> NDArray[Any]:
    """The ids that fill most of each target pixel."""
    rows, columns = placement.seen
    chosen = np.empty((rows.stop - rows.start, columns.stop - columns.start), mask.dtype)
    source, inner = placement.source, placement.inner
    step = max(1, _VOTED_AT_ONCE * inner[0] // (source[0] * source[1]))
    for top in range(rows.start, rows.stop, step):
        bottom = min(top + step, rows.stop)
        first, last = top * source[0] // inner[0], -(-bottom * source[0] // inner[0])
        # In units in which a source pixel is inner[0] high: every edge is a whole number.
        down = np.arange(top, bottom + 1) * source[0] - first * inner[0]
        right = np.arange(columns.start, columns.stop + 1) * source[1]
        chosen[top - rows.start : bottom - rows.start] = _vote(
            mask[first:last], (down, right), inner
        )
    return chosen


def _vote(
    mask: NDArray[Any],
    edges: tuple[NDArray[np.int64], NDArray[np.int64]],
    units: tuple[int, int],
) -> NDArray[Any]:
    """The id of the largest area between neighbouring `edges`, `units` to a source pixel."""
    shape = (len(edges[0]) - 1, len(edges[1]) - 1)
    chosen, most = np.empty(shape, mask.dtype), np.full(shape, -1, np.int64)
    for class_id in np.unique(mask):
        area = _between((mask == class_id).astype(np.int64), edges[0], units[0])
        area = _between(area.T, edges[1], units[1]).T
        wins = area > most
        chosen[wins], most[wins] = class_id, area[wins]
    return chosen


def _between(values: NDArray[np.int64], edges: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Sums of the rows of `values` between edges, of a cut row the part that lies between."""
    whole, part = edges // unit, edges % unit
    sums = np.zeros((len(values) + 1, values.shape[1]), np.int64)
    np.cumsum(values, axis=0, out=sums[1:])
    last = np.minimum(whole, len(values) - 1)  # behind the last row no part is left
    below = sums[whole] * unit + part[:, None] * values[last]
    return below[1:] - below[:-1]
