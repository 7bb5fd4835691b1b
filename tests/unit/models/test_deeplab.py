"""DeepLab's strides and receptive fields, measured by gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segflow.models.deeplab import ATROUS_RATES, pyramid
from segflow.models.registry import build_model

BACKBONE = {"backbone": "mobilenet_v2", "backbone_alpha": 0.35, "filters": 2}


def _reach(model: keras.Model, image: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """Whether each (row, column) of `image` moves the output at `place`."""
    x = tf.constant(image)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(model(x)[0, place[0], place[1]])
    return np.any(tape.gradient(value, x).numpy()[0] != 0, axis=-1)


def _let_all_through(model: keras.Model) -> None:
    """Small positive kernels: no sum cancels out, and no ReLU6 stops a gradient."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            kernel = layer.kernel
            taps = np.prod(kernel.shape[:2])
            inputs = 1 if isinstance(layer, keras.layers.DepthwiseConv2D) else kernel.shape[2]
            kernel.assign(np.full(kernel.shape, 0.5 / (taps * inputs), np.float32))


def _published_field() -> int:
    """Width in pixels of what a feature of MobileNetV2 sees, from its layers."""
    network = keras.applications.MobileNetV2(include_top=False, weights=None, alpha=0.35)
    field, jump = 1, 1
    for layer in network.layers:
        if hasattr(layer, "kernel_size"):  # one chain: its short cuts have no kernels
            field += (layer.kernel_size[1] - 1) * jump
            jump *= layer.strides[1]
    return field


@pytest.mark.parametrize("output_stride", [8, 16])
def test_stride_and_receptive_field_of_the_atrous_branches(output_stride):
    size, rate = (output_stride * 2, 800), ATROUS_RATES[0]
    parameters = {**BACKBONE, "output_stride": output_stride}
    model = build_model("deeplab_v3", size, 2, parameters)
    _let_all_through(model)
    branch = keras.Model(model.input, model.get_layer(f"aspp_atrous_{rate}_conv").output)
    image = np.full((1, *size, 3), 255, np.float32)
    middle = size[1] // output_stride // 2
    one, next_one = (
        np.flatnonzero(_reach(branch, image, (1, place)).any(axis=0))
        for place in (middle, middle + 1)
    )
    assert one[0] > 0 and next_one[-1] < size[1] - 1  # nothing is cut off
    assert next_one[0] - one[0] == next_one[-1] - one[-1] == output_stride
    # Rates are those of stride 16, so a branch reaches equally far at both strides.
    assert one[-1] - one[0] + 1 == _published_field() + 2 * 16 * rate


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_each_branch_has_nine_taps_at_its_rate(output_stride, separable):
    x = keras.Input((80, 80, 2))
    model = keras.Model(x, pyramid(x, 3, output_stride, separable=separable))
    _let_all_through(model)
    image = np.ones((1, 80, 80, 2), np.float32)
    for rate in ATROUS_RATES:
        branch = keras.Model(x, model.get_layer(f"aspp_atrous_{rate}_relu").output)
        taps = {tuple(tap) for tap in np.argwhere(_reach(branch, image, (40, 40))) - 40}
        step = rate * 16 // output_stride
        assert taps == {(a, b) for a in (-step, 0, step) for b in (-step, 0, step)}


def test_image_pooling_sees_everything():
    x = keras.Input((80, 80, 2))
    model = keras.Model(x, pyramid(x, 3, 16, separable=False))
    _let_all_through(model)
    assert _reach(model, np.ones((1, 80, 80, 2), np.float32), (40, 40)).all()


def test_the_decoder_works_at_stride_four():
    model = build_model("deeplab_v3_plus", (64, 96), 2, {**BACKBONE, "output_stride": 16})
    assert model.get_layer("classify").input.shape[1:3] == (16, 24)
