"""Semantic FPN (Kirillov et al. 2019, https://arxiv.org/abs/1901.02446).

A feature pyramid network (Lin et al. 2017, https://arxiv.org/abs/1612.03144) over strides 4 to 32;
each level is brought to stride 4 by convolutions and doublings, and their sum is classified. Batch
normalisation stands in for the published group normalisation.
"""

import keras
from keras import layers

from segflow.models.blocks import convolution, enlarge
from segflow.models.encoder import encode
from segflow.models.frame import Frame

_STRIDES = (4, 8, 16, 32)


def build_fpn(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filters: int,
    backbone: str,
    backbone_alpha: float | None,
    weights: str,
) -> keras.Model:
    """Builds a semantic FPN.

    Args:
        image_size: (height, width) in pixels; sizes that 32 does not divide are padded inside and
            the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Of the pyramid; the head has half as many.
        backbone: A key of `segflow.models.backbones.BACKBONES`.
        backbone_alpha: Factor of its width; None: as published.
        weights: Of the backbone: `none`, `imagenet`, or a file.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, num_classes].

    Raises:
        UsageError: The weights cannot be had.
    """
    frame = Frame(image_size, _STRIDES[-1])
    encoder = encode(frame, backbone, backbone_alpha, weights)
    above, levels = None, []
    for stride in reversed(_STRIDES):
        x = layers.Conv2D(filters, 1, name=f"lateral_{stride}")(encoder.features[stride])
        if above is not None:
            up = layers.UpSampling2D(name=f"down_{stride}_up")(above)
            x = layers.Add(name=f"down_{stride}")([x, up])
        above = x
        x = layers.Conv2D(filters, 3, padding="same", name=f"level_{stride}")(x)
        levels.append(_to_finest(x, stride, max(filters // 2, 1)))
    x = layers.Add(name="sum")(levels)
    return keras.Model(encoder.pixels, frame.close(x, num_classes), name="fpn")


def _to_finest(x: keras.KerasTensor, stride: int, filters: int) -> keras.KerasTensor:
    """A level at stride 4: one convolution for each doubling, and one for the finest level."""
    name, step = f"head_{stride}", 1
    x = convolution(x, filters, name, suffix=str(step))
    while stride > _STRIDES[0]:
        x = enlarge(x, 2, f"{name}_up{step}")
        stride, step = stride // 2, step + 1
        if stride > _STRIDES[0]:
            x = convolution(x, filters, name, suffix=str(step))
    return x
