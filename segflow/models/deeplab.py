"""DeepLabV3 and DeepLabV3+.

Chen et al. 2017, https://arxiv.org/abs/1706.05587, and Chen et al. 2018,
https://arxiv.org/abs/1802.02611: a dilated backbone, atrous spatial pyramid pooling (ASPP) with
image pooling, and, in V3+, a decoder that adds features of stride 4. As published, V3 has plain
atrous convolutions and V3+ separable ones.
"""

import keras
from keras import layers

from segflow.models.blocks import convolution, enlarge, fuse
from segflow.models.encoder import encode
from segflow.models.frame import Frame

ATROUS_RATES = (6, 12, 18)  # at output stride 16; doubled at 8

_LOW_LEVEL_STRIDE = 4
_LOW_LEVEL_FILTERS = 48


def build_deeplab_v3(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filters: int,
    output_stride: int,
    backbone: str,
    backbone_alpha: float | None,
    weights: str,
) -> keras.Model:
    """Builds a DeepLabV3.

    Args:
        image_size: (height, width) in pixels; sizes that `output_stride` does not divide are
            padded inside and the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Of each branch of the pyramid.
        output_stride: Of the backbone's last features, 8 or 16.
        backbone: A key of `segflow.models.backbones.BACKBONES`.
        backbone_alpha: Factor of its width; None: as published.
        weights: Of the backbone: `none`, `imagenet`, or a file.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, num_classes].

    Raises:
        UsageError: The weights cannot be had.
    """
    frame = Frame(image_size, output_stride)
    encoder = encode(frame, backbone, backbone_alpha, weights, output_stride)
    x = pyramid(encoder.features[output_stride], filters, output_stride, separable=False)
    return keras.Model(encoder.pixels, frame.close(x, num_classes), name="deeplab_v3")


def build_deeplab_v3_plus(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filters: int,
    output_stride: int,
    backbone: str,
    backbone_alpha: float | None,
    weights: str,
) -> keras.Model:
    """Builds a DeepLabV3+; `filters` are also those of the decoder, the rest is as for V3."""
    frame = Frame(image_size, output_stride)
    encoder = encode(frame, backbone, backbone_alpha, weights, output_stride)
    x = pyramid(encoder.features[output_stride], filters, output_stride, separable=True)
    x = enlarge(x, output_stride // _LOW_LEVEL_STRIDE, "decoder_up")
    low = encoder.features[_LOW_LEVEL_STRIDE]
    low = convolution(low, _LOW_LEVEL_FILTERS, "decoder_low", kernel_size=1)
    x = fuse([x, low], "decoder_skip")
    for step in ("1", "2"):
        x = convolution(x, filters, "decoder", separable=True, suffix=step)
    return keras.Model(encoder.pixels, frame.close(x, num_classes), name="deeplab_v3_plus")


def pyramid(
    x: keras.KerasTensor, filters: int, output_stride: int, *, separable: bool
) -> keras.KerasTensor:
    """Atrous spatial pyramid pooling with image pooling.

    Args:
        x: Features [batch, h, w, channels] of stride `output_stride`.
        filters: Of each branch and of the result.
        output_stride: 8 or 16.
        separable: Depthwise atrous convolutions and then 1x1 in place of plain ones.

    Returns:
        [batch, h, w, filters].
    """
    height, width = x.shape[1:3]
    branches = [convolution(x, filters, "aspp_point", kernel_size=1)]
    for rate in ATROUS_RATES:
        name, rate = f"aspp_atrous_{rate}", rate * 16 // output_stride
        branches.append(convolution(x, filters, name, rate=rate, separable=separable))
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_image_mean")(x)
    pooled = convolution(pooled, filters, "aspp_image", kernel_size=1)
    branches.append(layers.UpSampling2D((height, width), name="aspp_image_up")(pooled))
    return convolution(fuse(branches, "aspp"), filters, "aspp_fuse", kernel_size=1)
