"""Test-time augmentation is the mean over views, computed here once more without Keras."""

import keras
import numpy as np
import pytest

from segflow.models.test_time import average_over_views
from tests.unit.models import averages

SIZES = [(16, 24), (21, 30), (5, 7)]


def _mirror(x: np.ndarray) -> np.ndarray:
    return x[:, :, ::-1]


def _smaller(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    height, width = pictures.shape[1:3]
    inner = round(height * 0.75), round(width * 0.75)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    around = ((0, 0), (top, height - inner[0] - top), (left, width - inner[1] - left), (0, 0))
    padded = np.pad(averages.resize(pictures, inner), around, mode="reflect")
    seen = averages.ask(model, padded)[:, top : top + inner[0], left : left + inner[1]]
    return averages.resize(seen, (height, width))


def _larger(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Of each pixel of the enlarged picture, what the window in its corner says."""
    height, width = pictures.shape[1:3]
    outer = round(height * 1.25), round(width * 1.25)
    picture = averages.resize(pictures, outer)
    seen = np.full((*picture.shape[:3], averages.CLASSES), np.nan)
    for bottom in (False, True):
        for right in (False, True):
            top, left = bottom * (outer[0] - height), right * (outer[1] - width)
            window = np.full_like(seen, np.nan)
            window[:, top : top + height, left : left + width] = averages.ask(
                model, picture[:, top : top + height, left : left + width]
            )
            rows = slice(outer[0] // 2, None) if bottom else slice(outer[0] // 2)
            columns = slice(outer[1] // 2, None) if right else slice(outer[1] // 2)
            seen[:, rows, columns] = window[:, rows, columns]
    assert not np.isnan(seen).any()
    return averages.resize(seen, (height, width))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scales", [False, True])
def test_its_softmax_is_the_mean_over_the_views(size, scales):
    model = averages.tiny_model(1, size)
    pictures = averages.noise(size)

    found = keras.ops.convert_to_numpy(average_over_views(model, scales=scales)(pictures))

    asks = [averages.ask, _smaller, _larger] if scales else [averages.ask]
    views = [ask(model, pictures) for ask in asks]
    views += [_mirror(ask(model, _mirror(pictures))) for ask in asks]
    expected = np.mean(views, axis=0)
    np.testing.assert_allclose(averages.softmax(found.astype(np.float64)), expected, atol=1e-5)
    assert all(np.abs(expected - view).max() > 0.05 for view in views)


def test_a_mirrored_picture_gets_the_mirrored_answer():
    model = average_over_views(averages.tiny_model(2, (16, 24)), scales=False)
    pictures = averages.noise((16, 24))

    np.testing.assert_allclose(model(_mirror(pictures)), _mirror(model(pictures)), atol=1e-5)
