"""Groups of layers that several architectures share."""

from collections.abc import Sequence

import keras
from keras import layers

BATCH_NORM_MOMENTUM = 0.9  # Keras's 0.99 lags behind the weights of a run of a few minutes


def convolution(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    *,
    kernel_size: int = 3,
    rate: int = 1,
    separable: bool = False,
    suffix: str = "",
) -> keras.KerasTensor:
    """Convolution, batch normalisation (Ioffe and Szegedy 2015) and ReLU at the same size.

    Args:
        x: [batch, h, w, channels].
        filters: Channels of the result.
        name: Beginning of the layers' names.
        kernel_size: Width of the kernel.
        rate: Distance of the kernel's taps (atrous convolution where above 1).
        separable: A depthwise convolution and then one of 1x1 (Chollet 2017) in its place.
        suffix: End of the layers' names.
    """
    if separable:
        x = layers.DepthwiseConv2D(
            kernel_size,
            padding="same",
            dilation_rate=rate,
            use_bias=False,
            depthwise_initializer="he_normal",
            name=f"{name}_depthwise{suffix}",
        )(x)
        x = normalisation(x, f"{name}_depthwise_norm{suffix}")
        x = layers.ReLU(name=f"{name}_depthwise_relu{suffix}")(x)
        kernel_size, rate = 1, 1
    x = layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        dilation_rate=rate,
        use_bias=False,  # batch normalisation has its own
        kernel_initializer="he_normal",
        name=f"{name}_conv{suffix}",
    )(x)
    x = normalisation(x, f"{name}_norm{suffix}")
    return layers.ReLU(name=f"{name}_relu{suffix}")(x)


def convolutions(x: keras.KerasTensor, filters: int, count: int, name: str) -> keras.KerasTensor:
    """`count` convolutions of 3x3, each with batch normalisation and ReLU."""
    for step in range(1, count + 1):
        x = convolution(x, filters, name, suffix=str(step))
    return x


def normalisation(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalisation."""
    return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name)(x)


def enlarge(x: keras.KerasTensor, factor: int, name: str) -> keras.KerasTensor:
    """Features at `factor` times their size, interpolated bilinearly."""
    if factor == 1:
        return x
    return layers.UpSampling2D(factor, interpolation="bilinear", name=name)(x)


def fuse(tensors: Sequence[keras.KerasTensor], name: str) -> keras.KerasTensor:
    """Features of one size, channel after channel."""
    return tensors[0] if len(tensors) == 1 else layers.Concatenate(name=name)(list(tensors))
