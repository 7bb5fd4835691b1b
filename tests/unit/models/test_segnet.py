"""SegNet: features go back to exactly where the maxima lay."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segflow.models.registry import build_model
from segflow.models.segnet import pool, unpool

SIZE = (6, 8, 3)


@pytest.fixture(scope="module")
def both():
    """Features to their maxima, and these back at their places."""
    x = keras.Input(SIZE)
    largest, place = pool(x, "a")
    other = keras.Input((SIZE[0] // 2, SIZE[1] // 2, SIZE[2]))
    return keras.Model(
        [x, other], [largest, unpool(largest, place, "a"), unpool(other, place, "b")]
    )


def _by_window(x: np.ndarray) -> np.ndarray:
    """[n, h, w, c] to [n, h/2, w/2, c, 4]: each window in reading order."""
    n, h, w, c = x.shape
    return (
        x.reshape(n, h // 2, 2, w // 2, 2, c)
        .transpose(0, 1, 3, 5, 2, 4)
        .reshape(n, h // 2, w // 2, c, 4)
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([1, 2, 3, 1000]))
def test_unpooling_puts_values_back_where_they_came_from(both, seed, levels):
    """Also where a window holds its maximum several times: few levels make ties."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-levels, levels, (2, *SIZE)).astype(np.float32)
    other = rng.normal(size=(2, 3, 4, 3)).astype(np.float32)
    largest, restored, moved = (y.numpy() for y in both([x, other]))

    windows = _by_window(x)
    winner = windows.argmax(-1)[..., None]  # the first of equals
    chosen = np.arange(4) == winner
    np.testing.assert_array_equal(largest, windows.max(-1))
    np.testing.assert_array_equal(_by_window(restored), np.where(chosen, windows, 0))
    np.testing.assert_array_equal(_by_window(moved), np.where(chosen, other[..., None], 0))


def test_pooling_what_was_unpooled_gives_the_maxima_again(both):
    x = np.random.default_rng(0).uniform(0, 1, (2, *SIZE)).astype(np.float32)
    zero = np.zeros((2, 3, 4, 3), np.float32)
    largest, restored, _ = both([x, zero])
    np.testing.assert_array_equal(both([restored.numpy(), zero])[0].numpy(), largest.numpy())


def test_the_decoder_gets_places_and_no_features():
    """The only way from the encoder to the decoder but the bottleneck are places, in bytes."""
    model = build_model("segnet", (16, 16), 2, {"filters": 2, "depth": 2})
    assert not [
        x for x in model.layers if isinstance(x, keras.layers.Concatenate | keras.layers.Add)
    ]
    chosen = [x.input[0] for x in model.operations if type(x).__name__ == "Where"]
    assert [x.dtype for x in chosen] == ["bool", "bool"]
    assert [x.shape for x in chosen] == [(None, 4, 2, 4, 2, 4), (None, 8, 2, 8, 2, 2)]


def test_sixteen_bits_do_not_move_the_places():
    x = keras.Input(SIZE, dtype="float16")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        largest, place = pool(x, "a")
        model = keras.Model(x, unpool(largest, place, "a"))
    finally:
        keras.config.set_dtype_policy("float32")
    image = np.random.default_rng(0).integers(0, 2, (1, *SIZE)).astype(np.float16)
    windows = _by_window(image)
    chosen = np.arange(4) == windows.argmax(-1)[..., None]
    np.testing.assert_array_equal(_by_window(model(image).numpy()), np.where(chosen, windows, 0))
