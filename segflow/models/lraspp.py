"""LR-ASPP (Howard et al. 2019, https://arxiv.org/abs/1905.02244, section 6.4).

The head that was published with MobileNetV3: features of stride 16, weighted by a global mean, and
features of stride 8. The published sum of two classifiers of 1x1 is one classifier of both
features side by side, which is the same.
"""

import keras
from keras import layers

from segflow.models.blocks import convolution, enlarge, fuse
from segflow.models.encoder import encode
from segflow.models.frame import Frame

_STRIDE = 16
_LOW_STRIDE = 8


def build_lraspp(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filters: int,
    backbone: str,
    backbone_alpha: float | None,
    weights: str,
) -> keras.Model:
    """Builds an LR-ASPP of output stride 16.

    The published mean over 49x49 places, which is nearly the whole of the published images, is
    that of the whole image.

    Args:
        image_size: (height, width) in pixels; sizes that 16 does not divide are padded inside and
            the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Of the head.
        backbone: A key of `segflow.models.backbones.BACKBONES`.
        backbone_alpha: Factor of its width; None: as published.
        weights: Of the backbone: `none`, `imagenet`, or a file.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, num_classes].

    Raises:
        UsageError: The weights cannot be had.
    """
    frame = Frame(image_size, _STRIDE)
    encoder = encode(frame, backbone, backbone_alpha, weights, _STRIDE)
    high, low = encoder.features[_STRIDE], encoder.features[_LOW_STRIDE]
    x = convolution(high, filters, "head", kernel_size=1)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="gate_mean")(high)
    gate = layers.Conv2D(filters, 1, use_bias=False, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = fuse([enlarge(x, _STRIDE // _LOW_STRIDE, "head_up"), low], "head_skip")
    return keras.Model(encoder.pixels, frame.close(x, num_classes), name="lraspp")
