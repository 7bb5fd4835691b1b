"""Resizing of images and masks, and the way back from the model's size to the source's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow.data.config import ResizePolicy

PADDING = 128  # grey; what the models' normalisation makes nearly zero


@dataclass(frozen=True)
class Placement:
    """Where a source picture comes to lie in a target of fixed size, in pixels.

    The source, `source` = (height, width), fills the box of size `inner` whose top left corner
    is at (`top`, `left`) of the target; the rest of the target is padding.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    inner: tuple[int, int]
    top: int
    left: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the target that the source fills."""
        return (
            slice(self.top, self.top + self.inner[0]),
            slice(self.left, self.left + self.inner[1]),
        )


def place(source: tuple[int, int], target: tuple[int, int], policy: ResizePolicy) -> Placement:
    """Places a source of (height, width) into a target of (height, width).

    `stretch` fills the target; `letterbox` keeps the aspect ratio and centres.
    """
    if policy == "stretch":
        return Placement(source, target, target, 0, 0)
    scale = min(target[0] / source[0], target[1] / source[1])
    inner = (
        min(target[0], max(1, round(source[0] * scale))),
        min(target[1], max(1, round(source[1] * scale))),
    )
    return Placement(
        source, target, inner, (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    )


def resize_image(image: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """Resizes by a bilinear filter that averages when shrinking; padding is mid-grey.

    Args:
        image: uint8 [height, width, 3].
        placement: From `place` with the image's size as source.

    Returns:
        uint8 [target height, target width, 3].
    """
    height, width = placement.inner
    resized = image
    if placement.source != placement.inner:
        picture = Image.fromarray(image)
        resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    if placement.inner == placement.target:
        return resized
    padded = np.full((*placement.target, 3), PADDING, np.uint8)
    padded[placement.box] = resized
    return padded


def resize_mask(mask: NDArray[Any], placement: Placement, ignore_id: int) -> NDArray[Any]:
    """Resizes ids by the nearest source pixel's, so none is invented; padding is `ignore_id`.

    Args:
        mask: Integers [height, width].
        placement: From `place` with the mask's size as source.
        ignore_id: Fills the padding.

    Returns:
        [target height, target width] of the same dtype.
    """
    rows = _nearest(placement.source[0], placement.inner[0])
    columns = _nearest(placement.source[1], placement.inner[1])
    resized = mask[rows[:, None], columns[None, :]]
    if placement.inner == placement.target:
        return resized
    padded = np.full(placement.target, ignore_id, mask.dtype)
    padded[placement.box] = resized
    return padded


def _nearest(source: int, target: int) -> NDArray[np.int64]:
    """For each target pixel the source pixel that holds its centre; integer arithmetic."""
    return (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)
