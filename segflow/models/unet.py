"""U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597).

As published: two 3x3 convolutions per scale, 2x2 max-pooling down, 2x2 transposed convolutions
up, skip connections by concatenation, filters doubled at each scale. Changed, as is usual
today: padded convolutions, so that the logits have the size of the image, and batch
normalisation (Ioffe and Szegedy 2015) in place of dropout.
"""

import keras
from keras import layers

from segflow.errors import UsageError

_BATCH_NORM_MOMENTUM = 0.9  # Keras's 0.99 lags behind the weights of a run of a few minutes


def build_unet(
    *, image_size: tuple[int, int], num_classes: int, filters: int = 16, depth: int = 4
) -> keras.Model:
    """Builds a U-Net of standard Keras layers.

    Args:
        image_size: (height, width) in pixels; sizes that 2 ** depth does not divide are padded
            inside and the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Filters at full resolution; doubled at each of the `depth` scales below.
        depth: How many times the resolution is halved.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, num_classes].

    Raises:
        UsageError: The image is smaller than the stride 2 ** depth.
    """
    stride = 2**depth
    if min(image_size) < stride:
        raise UsageError(
            f"a U-Net of depth {depth} needs images of at least {stride} x {stride} pixels, "
            f"found {image_size[0]} x {image_size[1]}; lower --depth"
        )
    padding = tuple(_split(-size % stride) for size in image_size)
    pixels = keras.Input((*image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalize")(pixels)
    x = layers.ZeroPadding2D(padding, name="pad")(x)
    skips = []
    for scale in range(depth):
        x = _double_convolution(x, filters * 2**scale, f"encoder_{scale}")
        skips.append(x)
        x = layers.MaxPooling2D(name=f"encoder_{scale}_pool")(x)
    x = _double_convolution(x, filters * stride, "bottleneck")
    for scale in reversed(range(depth)):
        width, name = filters * 2**scale, f"decoder_{scale}"
        x = layers.Conv2DTranspose(width, 2, strides=2, name=f"{name}_up")(x)
        x = layers.Concatenate(name=f"{name}_skip")([skips[scale], x])
        x = _double_convolution(x, width, name)
    x = layers.Conv2D(num_classes, 1, dtype="float32", name="classify")(x)
    logits = layers.Cropping2D(padding, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="unet")


def _double_convolution(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    for step in (1, 2):
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,  # batch normalisation has its own
            kernel_initializer="he_normal",
            name=f"{name}_conv{step}",
        )(x)
        x = layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=f"{name}_norm{step}")(x)
        x = layers.ReLU(name=f"{name}_relu{step}")(x)
    return x


def _split(total: int) -> tuple[int, int]:
    return total // 2, total - total // 2
