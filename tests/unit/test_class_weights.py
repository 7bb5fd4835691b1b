"""Weights of classes, compared with plain sums over images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.class_weights import inverse_frequency, median_frequency

# Valid pixels by class of each image; the last class is nowhere.
IMAGES = st.lists(st.tuples(*[st.integers(0, 9)] * 3, st.just(0)), min_size=1).filter(
    lambda images: any(map(any, images))
)


@given(IMAGES)
def test_every_class_present_has_an_equal_share_of_the_loss(images):
    pixels = np.sum(images, axis=0)

    weights = np.array(inverse_frequency(pixels))

    present = pixels > 0
    np.testing.assert_allclose((weights * pixels)[present], pixels.sum() / present.sum())
    assert not weights[~present].any()
    assert (weights * pixels).sum() == pytest.approx(pixels.sum())  # a pixel's mean weight is 1


@given(IMAGES)
def test_the_median_is_over_images_that_hold_the_class(images):
    pixels = [sum(image[c] for image in images) for c in range(4)]
    around = [sum(sum(image) for image in images if image[c]) for c in range(4)]
    frequency = [n / total for n, total in zip(pixels, around, strict=True) if n]

    weights = median_frequency(pixels, around)

    expected = iter(np.median(frequency) / f for f in frequency)
    assert weights == pytest.approx([next(expected) if n else 0 for n in pixels])


def test_two_images_by_hand():
    """14 a, 4 b and 15 a, 5 c."""
    assert inverse_frequency([29, 4, 5, 0]) == pytest.approx([38 / 87, 38 / 12, 38 / 15, 0])
    expected = [0.25 / (29 / 38), 0.25 / (4 / 18), 1, 0]
    assert median_frequency([29, 4, 5, 0], [38, 18, 20, 0]) == pytest.approx(expected)


def test_without_any_pixel_there_are_no_weights():
    assert inverse_frequency([0, 0]) == median_frequency([0, 0], [0, 0]) == [0, 0]
