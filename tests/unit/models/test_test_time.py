"""Test-time augmentation is the mean over views, computed here once more without Keras."""

import keras
import numpy as np
import pytest

from segflow.models.test_time import average_over_views
from tests.unit.models import averages

SIZES = [(16, 24), (21, 30), (5, 7)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scales", [False, True])
def test_its_softmax_is_the_mean_over_the_views(size, scales):
    model = averages.tiny_model(1, size)
    pictures = averages.noise(size)

    found = keras.ops.convert_to_numpy(average_over_views(model, scales=scales)(pictures))

    views = averages.views(model, pictures, scales=scales)
    expected = np.mean(views, axis=0)
    np.testing.assert_allclose(averages.softmax(found.astype(np.float64)), expected, atol=1e-5)
    assert all(np.abs(expected - view).max() > 0.05 for view in views)


def test_a_mirrored_picture_gets_the_mirrored_answer():
    model = average_over_views(averages.tiny_model(2, (16, 24)), scales=False)
    pictures = averages.noise((16, 24))

    np.testing.assert_allclose(
        model(averages.mirror(pictures)), averages.mirror(model(pictures)), atol=1e-5
    )
