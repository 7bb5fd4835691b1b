"""Pictures larger than the model: windows slide over them, and their logits are blended.

Windows of one size lie in rows and columns, evenly spread, neighbours overlapping. Where several
see a pixel, its logits are the mean of theirs, weighted by how far the pixel lies inside each: a
window's weight rises evenly from its edge over what it shares with its neighbour, and does not
fall towards the picture's own edge. The weights of a window are those of its rows times those of
its columns, so rows and columns are blended one after the other, and only what windows share is
kept until they have all spoken.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data.resize import PADDING

# Windows, uint8 [n, height, width, 3], to logits, float32 [n, height, width, classes].
Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
# Rows of a picture, uint8 [count, width, 3], by the first one's number and their count.
ReadRows = Callable[[int, int], NDArray[np.uint8]]
# Class ids of the next rows, [rows, width].
TakeRows = Callable[[NDArray[Any]], None]
# Logits, float32 [rows, columns, classes], to arrays [rows, columns].
Reduce = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]

_PIXELS_AT_ONCE = 1 << 22  # of a band; bounds what its reader may take for each pixel


@dataclass(frozen=True)
class Block:
    """A part of a picture that no further window sees.

    Attributes:
        top: First row.
        left: First column.
        logits: float32 [rows, columns, classes].
    """

    top: int
    left: int
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class Slider:
    """Windows over pictures of any size.

    Attributes:
        size: (height, width) of a window, in pixels.
        overlap: Share of it that its neighbours see, too, at least; at most a half.
        batch_size: Windows that the model sees at once.
        forward: The model.
    """

    size: tuple[int, int]
    overlap: float
    batch_size: int
    forward: Forward

    def __call__(self, read: ReadRows, picture: tuple[int, int]) -> Iterator[Block]:
        """Logits of a whole picture, blended; each row of windows from the left, from the top.

        Of logits, a batch is in memory, and for the width of the picture the rows that two rows
        of windows share.

        Args:
            read: Gives rows of the picture; asked for from top to bottom, a row of windows at once.
            picture: Its (height, width), neither side smaller than the window's.

        Yields:
            Blocks that cover every pixel once.
        """
        down, across = (
            _places(length, window, self.overlap)
            for length, window in zip(picture, self.size, strict=True)
        )
        said = self._said(read, down, across)
        shared = self.size[0] - min(row.step for row in down)
        above: NDArray[np.float32] | None = None
        for row in down:
            beside: NDArray[np.float32] | None = None
            for column in across:
                sums = next(said) * (row.weights[:, None, None] * column.weights[:, None])
                if beside is not None:
                    sums[:, : beside.shape[1]] += beside
                beside = sums[:, column.step :]
                if above is None:
                    above = np.zeros((shared, picture[1], sums.shape[-1]), np.float32)
                kept = above[:, column.start : column.start + column.step]
                logits = _add_above(sums[:, : column.step], kept, row.step)
                yield Block(row.start, column.start, logits)

    def _said(
        self, read: ReadRows, down: "Sequence[_Place]", across: "Sequence[_Place]"
    ) -> Iterator[NDArray[np.float32]]:
        """The logits of each window; batches are full, whichever rows their windows lie in."""
        windows = self._windows(read, down, across)
        while some := list(itertools.islice(windows, self.batch_size)):
            yield from self.forward(np.stack(some))

    def _windows(
        self, read: ReadRows, down: "Sequence[_Place]", across: "Sequence[_Place]"
    ) -> Iterator[NDArray[np.uint8]]:
        height, width = self.size
        for row in down:
            rows = read(row.start, height)
            for column in across:
                yield rows[:, column.start : column.start + width]


@dataclass(frozen=True)
class _Place:
    """Where a window lies along a side of a picture.

    Attributes:
        start: Its first pixel.
        step: Pixels from there on that no later window sees.
        weights: Of its pixels, float32; of all windows that see a pixel they add up to 1.
    """

    start: int
    step: int
    weights: NDArray[np.float32]


def _places(length: int, window: int, overlap: float) -> list[_Place]:
    """The fewest windows along a side of `length` pixels that overlap by that share or more."""
    step, rest = max(1, round(window * (1 - overlap))), length - window
    gaps = math.ceil(rest / step)
    starts = [rest * number // max(1, gaps) for number in range(gaps + 1)]
    weights, total = [], np.zeros(length)
    for number, start in enumerate(starts):
        before = starts[number - 1] + window - start if number else None
        after = start + window - starts[number + 1] if number < gaps else None
        weights.append(np.minimum(_rising(window, before), _rising(window, after)[::-1]))
        total[start : start + window] += weights[-1]
    return [
        _Place(start, end - start, (weight / total[start : start + window]).astype(np.float32))
        for start, end, weight in zip(starts, [*starts[1:], length], weights, strict=True)
    ]


def _rising(window: int, shared: int | None) -> NDArray[np.float64]:
    """Weights that rise evenly to 1 over the pixels shared; 1 where there is no neighbour."""
    if shared is None:
        return np.ones(window)
    return np.minimum(1, (np.arange(window) + 0.5) / max(1, shared))


def _add_above(
    sums: NDArray[np.float32], above: NDArray[np.float32], step: int
) -> NDArray[np.float32]:
    """Adds what the windows above said, and leaves there what the ones below will add to.

    Args:
        sums: Of one row of windows, [window height, columns, classes].
        above: Of the rows of windows before, from the same row of pixels on; changed in place.
        step: Rows that no window below sees.

    Returns:
        These rows, of all windows.
    """
    sums[: len(above)] += above
    above[: len(sums) - step] = sums[step:]
    above[len(sums) - step :] = 0
    return sums[:step]


def reduced_bands(
    blocks: Iterator[Block], size: tuple[int, int], reduce: Reduce
) -> Iterator[tuple[NDArray[Any], ...]]:
    """What blocks are reduced to, as whole rows from top to bottom, some at a time.

    Args:
        blocks: Of a picture, which padding may have made larger, below and to the right.
        size: (height, width) without the padding.
        reduce: What becomes of logits; they are not kept.

    Yields:
        Its arrays, [rows, width] each.
    """
    height, width = size
    for top, row in itertools.groupby(blocks, lambda block: block.top):
        parts = [reduce(block.logits[: height - top, : width - block.left]) for block in row]
        arrays = [np.concatenate(side_by_side, axis=1) for side_by_side in zip(*parts, strict=True)]
        del parts
        step = max(1, _PIXELS_AT_ONCE // width)
        for start in range(0, len(arrays[0]), step):
            yield tuple(array[start : start + step] for array in arrays)


def whole_logits(blocks: Iterator[Block], picture: tuple[int, int]) -> NDArray[np.float32]:
    """All logits of a picture of (height, width), float32 [height, width, classes]."""
    whole: NDArray[np.float32] | None = None
    for block in blocks:
        rows, columns, classes = block.logits.shape
        if whole is None:
            whole = np.empty((*picture, classes), np.float32)
        whole[block.top : block.top + rows, block.left : block.left + columns] = block.logits
    assert whole is not None, "a picture has at least one window"
    return whole


def padded_rows(read: ReadRows, source: tuple[int, int], target: tuple[int, int]) -> ReadRows:
    """Rows of a picture of size `source` that mid-grey makes larger, below and to the right."""
    if source == target:
        return read

    def padded(top: int, count: int) -> NDArray[np.uint8]:
        rows = np.full((count, target[1], 3), PADDING, np.uint8)
        there = min(count, source[0] - top)
        rows[:there, : source[1]] = read(top, there)
        return rows

    return padded
