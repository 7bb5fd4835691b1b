"""The U-Net: shapes, padding, normalisation, and a file that Keras alone can load."""

import keras
import numpy as np
import pytest

from segflow.errors import UsageError
from segflow.models.unet import build_unet


def _pixels(size: tuple[int, int], batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (batch, *size, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (31, 16)])
def test_logits_are_float32_at_image_size(size):
    model = build_unet(image_size=size, num_classes=5, filters=4, depth=3)
    logits = model.predict(_pixels(size), verbose=0)
    assert logits.shape == (2, *size, 5)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


def test_an_image_smaller_than_the_stride_is_refused():
    with pytest.raises(UsageError, match=r"at least 16 x 16 .*lower --depth"):
        build_unet(image_size=(15, 64), num_classes=2, depth=4)


def test_padding_shifts_nothing():
    """With one-pixel filters a logit depends on its own pixel; so the crop undoes the padding."""
    model = build_unet(image_size=(13, 18), num_classes=2, filters=4, depth=2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3):
            kernel = np.zeros(layer.kernel.shape, np.float32)
            kernel[1, 1] = layer.kernel.numpy()[1, 1]
            layer.kernel.assign(kernel)
        if "_up" in layer.name:
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    dark = np.zeros((1, 13, 18, 3), np.float32)
    spot = dark.copy()
    spot[0, 4, 7] = 255.0
    changed = np.any(model(spot).numpy() != model(dark).numpy(), axis=-1)[0]
    assert np.argwhere(changed).tolist() == [[4, 7]]


def test_pixels_are_normalised_inside_to_minus_one_to_one():
    model = build_unet(image_size=(8, 8), num_classes=2, filters=2, depth=1)
    normalise = keras.Model(model.input, model.get_layer("normalize").output)
    pixels = np.array([0.0, 127.5, 255.0], np.float32).reshape(1, 1, 1, 3)
    normalised = normalise.predict(np.tile(pixels, (1, 8, 8, 1)), verbose=0)
    np.testing.assert_allclose(normalised[0, 0, 0], [-1, 0, 1], atol=1e-6)


def test_width_and_depth_set_the_filters():
    model = build_unet(image_size=(32, 32), num_classes=2, filters=3, depth=4)
    assert model.get_layer("encoder_0_conv1").filters == 3
    assert model.get_layer("bottleneck_conv2").filters == 48
    assert model.get_layer("bottleneck_conv2").output.shape[1:3] == (2, 2)


def test_a_bare_load_model_gives_equal_logits(tmp_path):
    model = build_unet(image_size=(10, 12), num_classes=3, filters=4, depth=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    pixels = _pixels((10, 12))
    np.testing.assert_array_equal(loaded(pixels).numpy(), model(pixels).numpy())


def test_it_overfits_four_images():
    rng = np.random.default_rng(1)
    keras.utils.set_random_seed(1)
    truth = rng.integers(0, 3, (4, 4, 4)).repeat(4, 1).repeat(4, 2)
    images = (truth[..., np.newaxis] * 80.0 + rng.normal(0, 10, (4, 16, 16, 3))).astype(np.float32)
    model = build_unet(image_size=(16, 16), num_classes=3, filters=8, depth=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    model.fit(images, truth, epochs=60, batch_size=4, verbose=0)
    predicted = model.predict(images, verbose=0).argmax(-1)
    assert (predicted == truth).mean() > 0.99
