"""Windows blended by brute force, all of a picture in memory: what streams are compared with."""

import itertools
from collections.abc import Callable

import numpy as np


def in_memory(
    picture: np.ndarray,
    forward: Callable[[np.ndarray], np.ndarray],
    window: tuple[int, int],
    overlap: float,
) -> np.ndarray:
    """Blended logits, [height, width, classes].

    Args:
        picture: uint8 [height, width, 3], neither side smaller than the window's.
        forward: The model, asked about one window at a time.
        window: (height, width) of a window.
        overlap: Share of a window that its neighbours see, too.
    """
    sides = [
        _starts(length, size, overlap)
        for length, size in zip(picture.shape[:2], window, strict=True)
    ]
    weights = [
        [
            [_weight(pixel, number, starts, size) for pixel in range(size)]
            for number in range(len(starts))
        ]
        for starts, size in zip(sides, window, strict=True)
    ]
    sums, total = 0.0, np.zeros((*picture.shape[:2], 1), np.float32)
    for (i, top), (j, left) in itertools.product(*(enumerate(starts) for starts in sides)):
        place = slice(top, top + window[0]), slice(left, left + window[1])
        weight = np.outer(weights[0][i], weights[1][j])[..., None].astype(np.float32)
        logits = forward(picture[place][None])[0]
        if not isinstance(sums, np.ndarray):
            sums = np.zeros((*picture.shape[:2], logits.shape[-1]), np.float32)
        sums[place] += logits * weight
        total[place] += weight
    return sums / total


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """The fewest windows, evenly spread, none further from the next than the overlap allows."""
    furthest = max(1, round(window * (1 - overlap)))
    for count in itertools.count(1):
        starts = [(length - window) * i // max(1, count - 1) for i in range(count)]
        steps = [b - a for a, b in itertools.pairwise(starts)]
        if starts[-1] == length - window and max(steps, default=0) <= furthest:
            return starts
    raise AssertionError


def _weight(pixel: int, number: int, starts: list[int], window: int) -> float:
    """What a window's word counts for its pixel, where 1 is all that it can count."""
    inside, weight = pixel + 0.5, 1.0
    if number > 0:
        shared = starts[number - 1] + window - starts[number]
        weight = min(weight, inside / max(1, shared))
    if number + 1 < len(starts):
        shared = starts[number] + window - starts[number + 1]
        weight = min(weight, (window - inside) / max(1, shared))
    return weight
