"""What is around every architecture: normalisation, padding, logits at the image's size."""

import keras
import numpy as np
import pytest
from keras.applications import imagenet_utils

from segflow.models.backbones import NORMALISATIONS
from segflow.models.frame import Frame
from tests.unit.models.drawn import pixels


@pytest.mark.parametrize("custom", NORMALISATIONS)
def test_pixels_are_normalised_as_keras_does(custom):
    opened = keras.Model(*Frame((5, 7), 1).open(custom))
    image = pixels((5, 7))
    expected = imagenet_utils.preprocess_input(image.copy(), mode=custom)
    np.testing.assert_allclose(opened(image).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("size", "stride"), [((13, 18), 4), ((16, 16), 16), ((31, 64), 32), ((3, 5), 16)]
)
def test_the_crop_undoes_the_padding(size, stride):
    frame = Frame(size, stride)
    opened, x = frame.open("tf")
    model = keras.Model(opened, frame.close(x, 3))
    assert not any(side % stride for side in x.shape[1:3])
    model.get_layer("classify").set_weights([np.eye(3).reshape(1, 1, 3, 3), np.zeros(3)])
    image = pixels(size)
    np.testing.assert_allclose(model(image).numpy(), image / 127.5 - 1, atol=1e-6)


def test_logits_of_coarse_features_are_interpolated_about_their_pixels():
    """A ramp stays a ramp: each feature lies in the middle of its block of pixels."""
    frame = Frame((14, 32), 8)
    opened, x = frame.open("tf")
    x = keras.layers.AveragePooling2D(8)(x)
    model = keras.Model(opened, frame.close(x, 3))
    model.get_layer("classify").set_weights([np.eye(3).reshape(1, 1, 3, 3), np.zeros(3)])
    ramp = np.broadcast_to(np.arange(32.0)[None, None, :, None] * 4, (1, 14, 32, 3))
    logits = model(ramp.astype(np.float32)).numpy()
    factor = 7 / 8  # a row of padding on either side, which is 0 after normalisation
    expected = (ramp / 127.5 - 1) * factor
    np.testing.assert_allclose(logits[:, :, 4:-4], expected[:, :, 4:-4], atol=1e-5)
