"""SegFormer (Xie et al. 2021, https://arxiv.org/abs/2105.15203) with the encoder MiT-B0.

Four stages of transformer blocks at strides 4, 8, 16 and 32, each with overlapping patches,
attention to a shortened sequence, and a feed-forward part with a depthwise convolution, which
takes the place of position codes; a decoder that fuses the four by convolutions of 1x1.
"""

from dataclasses import dataclass

import keras
from keras import layers

from segflow.models.blocks import convolution, enlarge, fuse
from segflow.models.frame import Frame

_EPSILON = 1e-6
_EXPANSION = 4  # of the feed-forward part


@dataclass(frozen=True)
class _Stage:
    """A stage of MiT-B0.

    Attributes:
        stride: Of its features.
        kernel: Of the convolution that makes patches of what comes before.
        width: Channels, in units of the first stage's.
        heads: Of the attention.
        reduction: How many times shorter either side of the attended grid is.
        blocks: How many follow each other.
    """

    stride: int
    kernel: int
    width: int
    heads: int
    reduction: int
    blocks: int = 2


_STAGES = (
    _Stage(stride=4, kernel=7, width=1, heads=1, reduction=8),
    _Stage(stride=8, kernel=3, width=2, heads=2, reduction=4),
    _Stage(stride=16, kernel=3, width=5, heads=5, reduction=2),
    _Stage(stride=32, kernel=3, width=8, heads=8, reduction=1),
)


def build_segformer(*, image_size: tuple[int, int], num_classes: int, filters: int) -> keras.Model:
    """Builds a SegFormer.

    Args:
        image_size: (height, width) in pixels; sizes that 32 does not divide are padded inside and
            the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Channels of the first stage: 32 is B0. The decoder has eight times as many.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, num_classes].
    """
    frame = Frame(image_size, _STAGES[-1].stride)
    pixels, x = frame.open("torch")
    levels, before = [], 1
    for number, stage in enumerate(_STAGES):
        name = f"stage_{number}"
        x = _patches(x, stage, stage.stride // before, filters * stage.width, name)
        for block in range(stage.blocks):
            x = _attend(x, stage, f"{name}_block{block}")
            x = _feed_forward(x, f"{name}_block{block}")
        x = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_norm")(x)
        level = layers.Conv2D(8 * filters, 1, name=f"decoder_{number}")(x)
        levels.append(enlarge(level, stage.stride // _STAGES[0].stride, f"decoder_{number}_up"))
        before = stage.stride
    x = convolution(fuse(levels, "decoder"), 8 * filters, "decoder_fuse", kernel_size=1)
    return keras.Model(pixels, frame.close(x, num_classes), name="segformer")


def _patches(
    x: keras.KerasTensor, stage: _Stage, stride: int, width: int, name: str
) -> keras.KerasTensor:
    x = layers.Conv2D(width, stage.kernel, stride, padding="same", name=f"{name}_patches")(x)
    return layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_patches_norm")(x)


def _attend(x: keras.KerasTensor, stage: _Stage, name: str) -> keras.KerasTensor:
    """Self-attention of all places to a grid that is `stage.reduction` times coarser."""
    height, width, channels = x.shape[1:]
    query = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_attention_norm")(x)
    memory = query
    if stage.reduction > 1:
        memory = layers.Conv2D(
            channels, stage.reduction, stage.reduction, padding="same", name=f"{name}_reduce"
        )(memory)
        memory = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_reduce_norm")(memory)
    attended = layers.MultiHeadAttention(
        stage.heads, channels // stage.heads, name=f"{name}_attention"
    )(
        layers.Reshape((-1, channels), name=f"{name}_query")(query),
        layers.Reshape((-1, channels), name=f"{name}_memory")(memory),
    )
    attended = layers.Reshape((height, width, channels), name=f"{name}_attended")(attended)
    return layers.Add(name=f"{name}_attention_add")([x, attended])


def _feed_forward(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Two convolutions of 1x1 with a depthwise one between them, which tells places apart."""
    channels = x.shape[-1]
    y = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_mix_norm")(x)
    y = layers.Conv2D(_EXPANSION * channels, 1, name=f"{name}_mix_in")(y)
    y = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_mix_depthwise")(y)
    y = layers.Activation("gelu", name=f"{name}_mix_gelu")(y)
    y = layers.Conv2D(channels, 1, name=f"{name}_mix_out")(y)
    return layers.Add(name=f"{name}_mix_add")([x, y])
