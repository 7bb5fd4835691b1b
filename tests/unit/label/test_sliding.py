"""Blending of windows: by bands as in memory, whatever the sizes, and without seams."""

import itertools
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.label import sliding
from segflow.label.sliding import Block, Slider, padded_rows, reduced_bands, whole_logits
from tests.blending import in_memory

WINDOW = (8, 12)
CLASSES = 3

Forward = Callable[[np.ndarray], np.ndarray]


def _identity(windows: np.ndarray) -> np.ndarray:
    return windows.astype(np.float32)


def _position_model(size: tuple[int, int]) -> Forward:
    """Its answer depends on the pixel, on the window's other pixels and on the place in it."""
    place = np.random.default_rng(0).normal(size=(*size, CLASSES)).astype(np.float32)

    def forward(windows: np.ndarray) -> np.ndarray:
        pixels = windows.astype(np.float32) / 255
        return pixels + pixels.mean((1, 2), keepdims=True) + place

    return forward


def _picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _rows_of(picture: np.ndarray) -> sliding.ReadRows:
    return lambda top, count: picture[top : top + count]


def _blended(
    picture: np.ndarray,
    forward: Forward,
    batch_size: int = 3,
    window: tuple[int, int] = WINDOW,
    overlap: float = 0.25,
) -> np.ndarray:
    slider = Slider(window, overlap, batch_size, forward)
    return whole_logits(slider(_rows_of(picture), picture.shape[:2]), picture.shape[:2])


_cases = st.fixed_dictionaries(
    {
        "size": st.tuples(st.integers(1, 40), st.integers(1, 40)),
        "window": st.tuples(st.integers(1, 12), st.integers(1, 12)),
        "overlap": st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5]) | st.floats(0, 0.5),
        "batch_size": st.integers(1, 7),
    }
)


@given(_cases)
def test_bands_give_what_the_whole_in_memory_gives(case):
    size, window = case["size"], case["window"]
    target = tuple(map(max, size, window))
    picture, forward = _picture(*size), _position_model(window)
    padded = np.full((*target, 3), 128, np.uint8)
    padded[: size[0], : size[1]] = picture
    slider = Slider(window, case["overlap"], case["batch_size"], forward)

    blocks = list(slider(padded_rows(_rows_of(picture), size, target), target))
    seen = np.zeros(target, int)
    for block in blocks:
        rows, columns = block.logits.shape[:2]
        seen[block.top : block.top + rows, block.left : block.left + columns] += 1
    bands = reduced_bands(iter(blocks), size, _best_and_largest)
    ids, top = (np.concatenate(parts) for parts in zip(*bands, strict=True))
    whole = whole_logits(iter(blocks), target)[: size[0], : size[1]]
    expected = in_memory(padded, forward, window, case["overlap"])[: size[0], : size[1]]

    assert (seen == 1).all()
    assert np.allclose(whole, expected, atol=1e-4)
    assert ids.shape == top.shape == size
    assert np.allclose(top, expected.max(-1), atol=1e-4)
    clear = np.ptp(np.sort(expected)[..., -2:], axis=-1) > 1e-4
    assert (ids == expected.argmax(-1))[clear].all()


def _best_and_largest(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return logits.argmax(-1).astype(np.uint8), logits.max(-1)


@given(st.integers(8, 50), st.integers(12, 60), st.integers(1, 5))
def test_what_all_windows_agree_on_stays(height, width, batch_size):
    picture = _picture(height, width)

    assert np.allclose(_blended(picture, _identity, batch_size), picture, atol=1e-3)


def test_windows_that_disagree_fade_into_each_other():
    """Each window says its own number everywhere; a seam would be a step between two pixels."""
    numbers = itertools.count()

    def forward(windows: np.ndarray) -> np.ndarray:
        said = np.empty((*windows.shape[:3], 1), np.float32)
        for one in said:
            one[:] = next(numbers) % 2
        return said

    blended = _blended(np.zeros((8, 30, 3), np.uint8), forward)[..., 0]

    # Windows of 12 at 0, 9 and 18: three pixels in common, over which the weights go over.
    assert blended[0, :9].tolist() == [0] * 9
    assert blended[0, 9:12] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert blended[0, 12:18] == pytest.approx([1] * 6)
    assert blended[0, 18:21] == pytest.approx([5 / 6, 1 / 2, 1 / 6])
    assert blended[0, 21:].tolist() == [0] * 9
    assert np.array_equal(blended, np.repeat(blended[:1], 8, axis=0))


@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize("length", [150, 151, 190, 223])
def test_no_step_is_larger_than_the_weights_explain(length, overlap):
    """For a model that says nothing but where in the window a pixel lies.

    Between two pixels side by side each window's word changes by `slope` at most, and the weights
    of the windows that see them by 1 / shared each. Weights that add up to 1 or more become
    shares, of which then less than the sum of these changes can go from one window to another:
    at most three windows see a pixel, so the step is at most slope + span * 3 / shared. A hard
    seam would be `span`.
    """
    window = (64, 64)
    shared = 64 * overlap
    ramp = np.add.outer(np.arange(64), np.arange(64) * 2).astype(np.float32) / 64  # 0 to 3 over it
    slope, span = 2 / 64, ramp.max()

    def forward(windows: np.ndarray) -> np.ndarray:
        return np.repeat(ramp[None, ..., None], len(windows), 0)

    blended = _blended(np.zeros((length, length + 7, 3), np.uint8), forward, 3, window, overlap)

    steps = max(np.abs(np.diff(blended[..., 0], axis=axis)).max() for axis in (0, 1))
    most = slope + span * 3 / shared
    assert steps <= most + 1e-6
    hard = _blended(np.zeros((192, 192, 3), np.uint8), forward, 3, window, 0)[..., 0]
    assert np.abs(np.diff(hard, axis=1)).max() > 3 * most


def test_batches_are_full_whichever_rows_their_windows_lie_in():
    seen = []

    def forward(windows: np.ndarray) -> np.ndarray:
        seen.append(len(windows))
        assert windows.shape[1:] == (*WINDOW, 3)
        return _identity(windows)

    _blended(np.zeros((20, 60, 3), np.uint8), forward, batch_size=4)

    assert seen == [4, 4, 4, 4, 4, 1]  # 7 windows side by side, 3 rows of them


def test_rows_are_asked_for_once_for_each_row_of_windows_and_from_top_to_bottom():
    asked = []

    def read(top: int, count: int) -> np.ndarray:
        asked.append((top, count))
        return np.zeros((count, 40, 3), np.uint8)

    blocks = Slider(WINDOW, 0.25, 2, _identity)(read, (26, 40))

    assert [(b.top, b.left) for b in blocks] == [
        (y, x) for y in (0, 6, 12, 18) for x in range(0, 35, 7)
    ]
    assert asked == [(0, 8), (6, 8), (12, 8), (18, 8)]


def test_blocks_come_as_soon_as_no_window_can_change_them():
    said = itertools.count(1)

    def forward(windows: np.ndarray) -> np.ndarray:
        next(said)
        return _identity(windows)

    blocks = Slider(WINDOW, 0.25, 1, forward)(_rows_of(_picture(40, 12)), (40, 12))

    for number, block in enumerate(blocks, 1):
        assert isinstance(block, Block)
        assert next(said) == 2 * number  # one was just taken for the window, one by this line


def test_bands_have_no_more_pixels_at_once_than_is_good(monkeypatch):
    monkeypatch.setattr(sliding, "_PIXELS_AT_ONCE", 100)
    blocks = Slider(WINDOW, 0.25, 2, _identity)(_rows_of(_picture(26, 40)), (26, 40))

    bands = [ids for ids, _ in reduced_bands(blocks, (26, 40), _best_and_largest)]

    assert max(band.size for band in bands) <= 100
    assert sum(map(len, bands)) == 26


def test_memory_grows_with_the_width_and_not_with_the_height():
    def peak(height: int, width: int) -> int:
        rows = np.zeros((32, width, 3), np.uint8)
        blocks = Slider((32, 48), 0.25, 4, _identity)(lambda top, count: rows, (height, width))
        tracemalloc.start()
        for _ in reduced_bands(blocks, (height, width), _best_and_largest):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    low, high, wide = peak(200, 2000), peak(1600, 2000), peak(200, 8000)

    assert high < 1.2 * low
    assert wide < 5 * low
