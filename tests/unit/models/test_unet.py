"""The U-Net, plain and with a backbone."""

import keras
import numpy as np
import pytest

from segflow.errors import UsageError
from segflow.models.registry import build_model


def test_an_image_may_be_smaller_than_the_stride():
    model = build_model("unet", (15, 3), 2, {"depth": 4, "filters": 4})
    assert model(np.zeros((1, 15, 3, 3), np.float32)).shape == (1, 15, 3, 2)


def test_padding_shifts_nothing():
    """With one-pixel filters a logit depends on its own pixel; so the crop undoes the padding."""
    model = build_model("unet", (13, 18), 2, {"filters": 4, "depth": 2})
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3):
            kernel = np.zeros(layer.kernel.shape, np.float32)
            kernel[1, 1] = np.abs(layer.kernel.numpy()[1, 1])  # no spot dies in a ReLU
            layer.kernel.assign(kernel)
        if "_up" in layer.name:
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    dark = np.zeros((1, 13, 18, 3), np.float32)
    spot = dark.copy()
    spot[0, 4, 7] = 255.0
    changed = np.any(model(spot).numpy() != model(dark).numpy(), axis=-1)[0]
    assert np.argwhere(changed).tolist() == [[4, 7]]


def test_width_and_depth_set_the_filters():
    model = build_model("unet", (32, 32), 2, {"filters": 3, "depth": 4})
    assert model.get_layer("encoder_0_conv1").filters == 3
    assert model.get_layer("bottleneck_conv2").filters == 48
    assert model.get_layer("bottleneck_conv2").output.shape[1:3] == (2, 2)


def test_the_decoder_gets_all_that_a_backbone_has():
    model = build_model("unet", (32, 64), 2, {"backbone": "mobilenet", "backbone_alpha": 0.25})
    skips = {
        layer.name: [x.shape[1:3] for x in layer.input]
        for layer in model.layers
        if isinstance(layer, keras.layers.Concatenate)
    }
    assert skips == {
        f"decoder_{scale}_skip": [(32 >> scale, 64 >> scale)] * 2 for scale in (4, 3, 2, 1)
    }
    assert model.get_layer("decoder_0_conv1").output.shape[1:3] == (32, 64)


def test_less_depth_leaves_the_coarse_end_of_a_backbone_out():
    settings = {"backbone": "mobilenet", "backbone_alpha": 0.25, "depth": 3}
    model = build_model("unet", (32, 32), 2, settings)
    assert model.get_layer("decoder_2_up").input.shape[1:3] == (4, 4)
    assert not [x for x in model.layers if x.name == "backbone_conv_pw_13_relu"]
    with pytest.raises(UsageError, match=r"--depth with a backbone must be 1 to 5, found 6"):
        build_model("unet", (32, 32), 2, {**settings, "depth": 6})


def test_bilinear_upsampling_has_no_transposed_convolutions():
    for upsampling, count in (("bilinear", 0), ("transposed", 2)):
        model = build_model("unet", (8, 8), 2, {"depth": 2, "upsampling": upsampling})
        kinds = [isinstance(x, keras.layers.Conv2DTranspose) for x in model.layers]
        assert sum(kinds) == count
