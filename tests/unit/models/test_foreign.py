"""Architectures of other packages: what is refused before a training, and how it is said."""

import keras
import pytest

from segflow.errors import UsageError
from segflow.models.registry import build_model

HERE = "tests.unit.models.test_foreign"


def good(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    pixels = keras.Input((*image_size, 3))
    return keras.Model(pixels, keras.layers.Conv2D(num_classes, 1)(pixels))


def one_class_more(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    return good(image_size, num_classes + 1)


def no_model(image_size: tuple[int, int], num_classes: int) -> str:
    return "model"


def of_one_size(num_classes: int) -> keras.Model:
    return good((8, 8), num_classes)


def _read(layer: keras.Layer, image_size: tuple[int, int], num_classes: int) -> keras.Model:
    pixels = keras.Input((*image_size, 3))
    return keras.Model(pixels, keras.layers.Conv2D(num_classes, 1)(layer(pixels)))


def with_lambda(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    return _read(keras.layers.Lambda(lambda x: x / 255, name="scale"), image_size, num_classes)


class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    """Registered here, but not with whoever loads a bundle."""

    def call(self, x):
        return x * 2


def with_custom_layer(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    inner = keras.Sequential([keras.Input((*image_size, 3)), Halved(name="halve")], name="inner")
    return _read(inner, image_size, num_classes)


def with_registered_layer(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    return _read(Doubled(name="double"), image_size, num_classes)


def with_a_wrong_call(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    return _read(keras.layers.Rescaling(1 / 255, factor=2), image_size, num_classes)


def that_fails(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    return _read(len(num_classes), image_size, num_classes)


def that_wants_more(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    raise UsageError("set MORE")


def test_a_function_of_another_package_is_an_architecture():
    assert build_model(f"{HERE}:good", (9, 7), 4, {}).output_shape == (None, 9, 7, 4)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("no_such_package.models:build", r"No module named 'no_such_package'; install"),
        (f"{HERE}:missing", r"has no attribute 'missing'; install"),
        (f"{HERE}:one_class_more", r"must .*return logits \(None, 9, 7, 4\), found .*9, 7, 5\)"),
        (f"{HERE}:no_model", r"must return a keras.Model, found str"),
        (f"{HERE}:of_one_size", r"cannot be called as f\(image_size=.*image_size"),
        (f"{HERE}:with_lambda", r"could not be loaded .* layer 'scale' \(Lambda\)"),
        (f"{HERE}:with_custom_layer", r"could not be loaded .* layer 'halve' \(Halved\)"),
        (f"{HERE}:with_registered_layer", r"could not be loaded .* layer 'double' \(Doubled\)"),
        (
            f"{HERE}:with_a_wrong_call",
            r"with_a_wrong_call fails at test_foreign.py:61: \w+: .*factor",
        ),
        (
            f"{HERE}:that_fails",
            r"that_fails fails at test_foreign.py:65: TypeError: object of type",
        ),
        (f"{HERE}:that_wants_more", r"^set MORE$"),
    ],
)
def test_a_function_that_is_none_is_refused(address, message):
    with pytest.raises(UsageError, match=message):
        build_model(address, (9, 7), 4, {})


def test_the_registered_classes_stay_registered():
    with pytest.raises(UsageError):
        build_model(f"{HERE}:with_registered_layer", (9, 7), 4, {})
    assert keras.saving.get_custom_objects()["tests>Doubled"] is Doubled


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_logits_of_sixteen_bits_are_refused(policy):
    keras.config.set_dtype_policy(policy)
    try:
        with pytest.raises(UsageError, match=rf'found {policy[6:]}; give .* dtype="float32"$'):
            build_model(f"{HERE}:good", (9, 7), 4, {})
    finally:
        keras.config.set_dtype_policy("float32")
