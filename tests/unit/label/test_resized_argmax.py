"""Enlarged logits and their classes."""

import numpy as np
import pytest
import tensorflow as tf

from segflow.label import resized_argmax as module
from segflow.label.resized_argmax import resized_argmax


def _logits(height: int, width: int, classes: int = 5) -> np.ndarray:
    random = np.random.default_rng(height * 1000 + width)
    return random.normal(size=(height, width, classes)).astype(np.float32)


def _whole(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return tf.argmax(tf.image.resize(logits[None], size, "bilinear")[0], axis=-1).numpy()


@pytest.mark.parametrize(
    "size", [(12, 16), (36, 47), (300, 400), (5, 7), (1, 1), (12, 200), (200, 16)]
)
@pytest.mark.parametrize("band_bytes", [1, 4 * 47 * 5 * 10, 1 << 24])
def test_bands_give_what_the_whole_gives(monkeypatch, size, band_bytes):
    monkeypatch.setattr(module, "_BAND_BYTES", band_bytes)
    logits = _logits(12, 16)
    ids = resized_argmax(logits, size, np.uint8)
    assert (ids.shape, ids.dtype) == (size, np.uint8)
    np.testing.assert_array_equal(ids, _whole(logits, size))


def test_a_large_picture_never_has_all_its_logits_in_memory(monkeypatch):
    sizes = []
    band_ids = module._band_ids

    def watched(logits, lower, upper, share, width):
        sizes.append(len(lower) * width * logits.shape[-1] * 4)
        return band_ids(logits, lower, upper, share, width)

    monkeypatch.setattr(module, "_band_ids", watched)
    resized_argmax(_logits(8, 8), (2000, 3000), np.uint8)
    assert sum(sizes) == 2000 * 3000 * 5 * 4
    assert max(sizes) <= 1 << 24


def test_nothing_is_asked_of_a_gpu():
    """Here there is none, so any operation on it fails."""
    with tf.device("GPU:0"):
        ids = resized_argmax(_logits(3, 4), (6, 8), np.uint8)
    assert ids.shape == (6, 8)


def test_many_classes_keep_their_ids():
    logits = np.zeros((2, 2, 300), np.float32)
    logits[..., 299] = 1
    assert resized_argmax(logits, (3, 3), np.uint16).tolist() == [[299] * 3] * 3
