"""U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597).

As published: two 3x3 convolutions per scale, 2x2 max-pooling down, 2x2 transposed convolutions
up, skip connections by concatenation, filters doubled at each scale. Changed, as is usual
today: padded convolutions, so that the logits have the size of the image, and batch
normalisation (Ioffe and Szegedy 2015) in place of dropout.

With a backbone, that is the way down; the way up is the same, without a skip connection at the
strides that the backbone leaves out (always 1).
"""

import keras
from keras import layers

from segflow.errors import UsageError
from segflow.models.backbones import NO_BACKBONE
from segflow.models.blocks import convolutions, enlarge, fuse
from segflow.models.encoder import encode
from segflow.models.frame import Frame

_BACKBONE_DEPTH = 5  # backbones of keras.applications halve the resolution five times


def build_unet(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filters: int,
    depth: int,
    upsampling: str,
    backbone: str,
    backbone_alpha: float | None,
    weights: str,
) -> keras.Model:
    """Builds a U-Net of standard Keras layers.

    Args:
        image_size: (height, width) in pixels; sizes that the stride does not divide are padded
            inside and the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Filters at full resolution; doubled at each of the `depth` scales below.
        depth: How many times the resolution is halved; with a backbone at most 5.
        upsampling: `transposed` convolutions, as published, or `bilinear` interpolation.
        backbone: A key of `segflow.models.backbones.BACKBONES`, or `none`.
        backbone_alpha: Factor of the backbone's width; None: as published.
        weights: Of the backbone: `none`, `imagenet`, or a file.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, num_classes].

    Raises:
        UsageError: The backbone has not so many scales, or its weights cannot be had.
    """
    if backbone == NO_BACKBONE:
        frame = Frame(image_size, 2**depth)
        pixels, skips, x = _contract(frame, filters, depth)
    else:
        if depth > _BACKBONE_DEPTH:
            raise UsageError(f"--depth with a backbone must be 1 to 5, found {depth}")
        frame = Frame(image_size, 2**_BACKBONE_DEPTH)
        encoder = encode(frame, backbone, backbone_alpha, weights)
        pixels, skips = encoder.pixels, dict(encoder.features)
        x = skips[2**depth]
    for scale in reversed(range(depth)):
        x = _expand(x, skips.get(2**scale), filters * 2**scale, upsampling, f"decoder_{scale}")
    return keras.Model(pixels, frame.close(x, num_classes), name="unet")


def _contract(
    frame: Frame, filters: int, depth: int
) -> tuple[keras.KerasTensor, dict[int, keras.KerasTensor], keras.KerasTensor]:
    """The published way down: pixels, features by stride, and the coarsest features."""
    pixels, x = frame.open("tf")
    skips = {}
    for scale in range(depth):
        x = convolutions(x, filters * 2**scale, 2, f"encoder_{scale}")
        skips[2**scale] = x
        x = layers.MaxPooling2D(name=f"encoder_{scale}_pool")(x)
    return pixels, skips, convolutions(x, filters * 2**depth, 2, "bottleneck")


def _expand(
    x: keras.KerasTensor,
    skip: keras.KerasTensor | None,
    filters: int,
    upsampling: str,
    name: str,
) -> keras.KerasTensor:
    if upsampling == "bilinear":
        x = enlarge(x, 2, f"{name}_up")
    else:
        x = layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_up")(x)
    if skip is not None:
        x = fuse([skip, x], f"{name}_skip")
    return convolutions(x, filters, 2, name)
