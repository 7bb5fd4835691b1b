"""Blending of windows: the weighted mean of all that see a pixel, and no seam."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.label.sliding import blended_logits

WINDOW = (8, 12)


def _blended(picture: np.ndarray, forward, batch_size: int = 3) -> np.ndarray:
    return np.concatenate(list(blended_logits(picture, WINDOW, batch_size, forward)))


def _identity(windows: np.ndarray) -> np.ndarray:
    return windows.astype(np.float32)


@given(st.integers(8, 50), st.integers(12, 60), st.integers(1, 5))
def test_what_all_windows_agree_on_stays(height, width, batch_size):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)

    blended = _blended(picture, _identity, batch_size)

    assert blended.shape == picture.shape
    assert np.allclose(blended, picture, atol=1e-3)


def test_windows_that_disagree_fade_into_each_other():
    """Each window says its own number everywhere; a seam would be a step between two pixels."""
    numbers = iter(range(100))

    def forward(windows: np.ndarray) -> np.ndarray:
        said = np.empty((*windows.shape[:3], 1), np.float32)
        for one in said:
            one[:] = next(numbers) % 2
        return said

    blended = _blended(np.zeros((8, 30, 3), np.uint8), forward)[..., 0]

    assert blended.min() == 0
    assert blended.max() == pytest.approx(1)
    # Windows of 12 at 0, 9 and 18: three pixels in common, over which the weights go over.
    assert blended[0, :9].tolist() == [0] * 9
    assert blended[0, 9:12] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert blended[0, 12:18] == pytest.approx([1] * 6)
    assert np.array_equal(blended, np.repeat(blended[:1], 8, axis=0))


def test_the_model_sees_every_window_once_and_never_more_than_a_batch():
    seen = []

    def forward(windows: np.ndarray) -> np.ndarray:
        seen.append(len(windows))
        assert windows.shape[1:] == (*WINDOW, 3)
        return _identity(windows)

    _blended(np.zeros((20, 60, 3), np.uint8), forward, batch_size=4)

    assert seen == [4, 3] * 3  # 7 windows side by side, 3 rows of them


def test_bands_come_as_soon_as_no_window_can_change_them():
    bands = blended_logits(np.zeros((40, 12, 3), np.uint8), WINDOW, 1, _identity)

    assert [len(band) for band in bands] == [6, 6, 6, 6, 6, 2, 8]
