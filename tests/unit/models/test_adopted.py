"""Somebody's Keras file becomes a bundle's model, or is refused in a line that says why."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from segflow.errors import UsageError
from segflow.models.adopted import adopt
from tests.unit.models import averages

SIZE, CLASSES = (8, 12), 4

_Build = Callable[[keras.KerasTensor], keras.KerasTensor]


def _head(x: keras.KerasTensor, **options: object) -> keras.KerasTensor:
    options = {"kernel_initializer": keras.initializers.RandomNormal(stddev=1.0, seed=0), **options}
    return layers.Conv2D(CLASSES, 3, padding="same", **options)(x)


def _scaled(x: keras.KerasTensor, **options: object) -> keras.KerasTensor:
    return _head(layers.Rescaling(1 / 127.5, offset=-1)(x), **options)


def _file(
    path: Path, build: _Build, shape: tuple[int | None, ...] = (*SIZE, 3), **options: object
) -> tuple[Path, keras.Model]:
    pixels = keras.Input(shape, **options)
    model = keras.Model(pixels, build(pixels))
    model.save(path / "m.keras")
    return path / "m.keras", model


@pytest.fixture
def noise() -> np.ndarray:
    return averages.noise(SIZE)


def test_logits_are_taken_as_they_are(tmp_path, noise):
    path, model = _file(tmp_path, _scaled)

    adopted = adopt(path, SIZE, CLASSES)

    assert adopted.gives == "logits"
    assert adopted.model.input_shape == (None, *SIZE, 3)
    np.testing.assert_allclose(adopted.model(noise), model(noise), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: _scaled(x, activation="softmax"),
        lambda x: layers.Softmax()(_scaled(x)),
        lambda x: keras.ops.softmax(_scaled(x)),
        lambda x: layers.UpSampling2D(2, interpolation="bilinear")(
            layers.Softmax()(layers.AveragePooling2D(2)(_scaled(x)))
        ),
    ],
    ids=["in the convolution", "layer", "operation", "enlarged"],
)
def test_probabilities_are_found_out_and_come_back_from_the_logits(build, tmp_path, noise):
    path, model = _file(tmp_path, build)

    adopted = adopt(path, SIZE, CLASSES)

    assert adopted.gives == "probabilities"
    logits = np.asarray(adopted.model(noise), np.float64)
    np.testing.assert_allclose(averages.softmax(logits), model(noise), atol=1e-6)


def test_pixels_are_scaled_inside(tmp_path, noise):
    path, model = _file(tmp_path, _head)

    adopted = adopt(path, SIZE, CLASSES, (-1, 1))

    np.testing.assert_allclose(adopted.model(noise), model(noise / 127.5 - 1), atol=1e-5)


def test_a_model_for_pictures_of_any_size_is_one_for_this_size(tmp_path, noise):
    path, model = _file(tmp_path, _scaled, (None, None, 3))

    adopted = adopt(path, SIZE, CLASSES)

    assert adopted.model.output_shape == (None, *SIZE, CLASSES)
    np.testing.assert_allclose(adopted.model(noise), model(noise), rtol=1e-6, atol=1e-6)


def test_what_it_gives_may_be_said(tmp_path):
    path, _ = _file(tmp_path, lambda x: _scaled(x, activation="sigmoid"))

    assert adopt(path, SIZE, CLASSES, gives="logits").gives == "logits"
    with pytest.raises(UsageError, match="does not sum to 1 at each pixel"):
        adopt(path, SIZE, CLASSES, gives="probabilities")
    with pytest.raises(UsageError, match="of 0 to 1 that do not sum to 1, as a sigmoid does"):
        adopt(path, SIZE, CLASSES)


def _two(x: keras.KerasTensor) -> list[keras.KerasTensor]:
    return [_head(x), _head(x)]


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (_head, (9, 12, 3), r"takes \(None, 9, 12, 3\), expected \(None, 8, 12, 3\)"),
        (_head, (8, 12, 1), r"takes \(None, 8, 12, 1\), expected"),
        (_two, (8, 12, 3), "gives several outputs, expected"),
        (
            lambda x: layers.AveragePooling2D(4)(_head(x)),
            (8, 12, 3),
            r"gives \(None, 2, 3, 4\), expected \(None, 8, 12, 4\): for each pixel",
        ),
        (lambda x: layers.Conv2D(5, 1)(x), (8, 12, 3), r"gives \(None, 8, 12, 5\), expected"),
        (lambda x: _head(x, dtype="float16"), (8, 12, 3), "gives float16, expected float32; give"),
        (lambda x: keras.ops.log(0 * _head(x)), (8, 12, 3), "a picture of noise is not finite"),
        (
            lambda x: _head(layers.Add()([x, layers.UpSampling2D(8)(layers.MaxPooling2D(8)(x))])),
            (None, None, 3),
            "cannot take pictures of --image-size",
        ),
    ],
    ids=["size", "grey", "two", "small", "classes", "half", "infinite", "stride"],
)
def test_what_is_no_segmentation_model_is_refused(build, shape, message, tmp_path):
    path, _ = _file(tmp_path, build, shape)
    with pytest.raises(UsageError, match=message) as refusal:
        adopt(path, SIZE, CLASSES)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"--model-file {path}: ")


def test_batches_of_one_size_are_refused(tmp_path):
    pixels = keras.Input(batch_shape=(2, *SIZE, 3))
    keras.Model(pixels, _head(pixels)).save(tmp_path / "m.keras")
    with pytest.raises(UsageError, match=r"takes \(2, 8, 12, 3\), expected \(None, 8, 12, 3\)"):
        adopt(tmp_path / "m.keras", SIZE, CLASSES)
