"""Pictures larger than the model: windows slide over them, and their logits are blended."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from segflow.data.tiles import starts

_OVERLAP = 4  # the share of a window that its neighbour sees too is one in so many

# Windows, uint8 [n, height, width, 3], to logits, float32 [n, height, width, classes].
Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def blended_logits(
    picture: NDArray[np.uint8], size: tuple[int, int], batch_size: int, forward: Forward
) -> Iterator[NDArray[np.float32]]:
    """Logits of a whole picture, as bands of rows from top to bottom.

    Neighbouring windows overlap by a quarter; the last ones are shifted inward. Where several see
    a pixel, the mean of their logits is weighted by how far it lies from each window's edge, so
    that no seam shows. One row of windows is in memory at a time.

    Args:
        picture: uint8 [height, width, 3], neither side smaller than the window's.
        size: (height, width) of a window.
        batch_size: Windows at once.
        forward: The model.

    Yields:
        float32 [rows, width, classes]; the rows add up to the picture's height.
    """
    height, width = picture.shape[:2]
    tops, lefts = (
        starts(length, window, window // _OVERLAP, "shift")
        for length, window in zip((height, width), size, strict=True)
    )
    weight = np.outer(_ramp(size[0]), _ramp(size[1]))[..., None]
    sums: NDArray[np.float32] | None = None
    weights = np.zeros((size[0], width, 1), np.float32)
    for top, below in zip(tops, [*tops[1:], height], strict=True):
        for left, logits in _side_by_side(
            picture[top : top + size[0]], lefts, size[1], batch_size, forward
        ):
            if sums is None:
                sums = np.zeros((size[0], width, logits.shape[-1]), np.float32)
            sums[:, left : left + size[1]] += logits * weight
            weights[:, left : left + size[1]] += weight
        assert sums is not None
        done = below - top  # rows that no further window sees
        yield sums[:done] / weights[:done]
        for buffer in (sums, weights):
            buffer[: size[0] - done] = buffer[done:].copy()
            buffer[size[0] - done :] = 0


def _side_by_side(
    rows: NDArray[np.uint8],
    lefts: Sequence[int],
    width: int,
    batch_size: int,
    forward: Forward,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Each window's left and logits."""
    for start in range(0, len(lefts), batch_size):
        some = lefts[start : start + batch_size]
        windows = np.stack([rows[:, left : left + width] for left in some])
        yield from zip(some, forward(windows), strict=True)


def _ramp(length: int) -> NDArray[np.float32]:
    """Weights that rise evenly over the overlap, from more than 0 to 1, and fall again."""
    distance = np.minimum(np.arange(length) + 0.5, length - np.arange(length) - 0.5)
    return np.minimum(1, distance / max(1, length // _OVERLAP)).astype(np.float32)
