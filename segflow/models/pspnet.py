"""PSPNet (Zhao et al. 2017, https://arxiv.org/abs/1612.01105).

A dilated backbone and a pyramid of means over 1, 4, 9 and 36 parts of the image. The published
auxiliary loss is left out.
"""

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from segflow.models.blocks import convolution, fuse
from segflow.models.encoder import encode
from segflow.models.frame import Frame

BINS = (1, 2, 3, 6)


def build_pspnet(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filters: int,
    output_stride: int,
    backbone: str,
    backbone_alpha: float | None,
    weights: str,
) -> keras.Model:
    """Builds a PSPNet.

    Args:
        image_size: (height, width) in pixels; sizes that `output_stride` does not divide are
            padded inside and the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Of the last convolution; each level of the pyramid has a quarter of the
            backbone's.
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
    x = encoder.features[output_stride]
    x = fuse([x, *(_level(x, bins) for bins in BINS)], "pyramid")
    x = convolution(x, filters, "fuse")
    return keras.Model(encoder.pixels, frame.close(x, num_classes), name="pspnet")


def _level(x: keras.KerasTensor, bins: int) -> keras.KerasTensor:
    """Means over bins x bins parts of the image, at the size of `x` again."""
    height, width, channels = x.shape[1:]
    name = f"pyramid_{bins}"
    # Not Keras's AdaptiveAveragePooling2D: 3.15.1 fails in graphs where a part has all the rows.
    mean = ops.einsum("ph,bhwc->bpwc", part_means(height, bins), x)
    mean = ops.einsum("qw,bpwc->bpqc", part_means(width, bins), mean)
    mean = convolution(mean, max(channels // len(BINS), 1), name, kernel_size=1)
    # Not `layers.Resizing`: called without `training`, it has all behind it train.
    return ops.image.resize(mean, (height, width), "bilinear", data_format="channels_last")


def part_means(size: int, bins: int) -> NDArray[np.float32]:
    """The matrix [bins, size] that takes the means of `bins` parts, as equal as can be.

    Parts overlap by one where `bins` does not divide `size`, as in other implementations.
    """
    matrix = np.zeros((bins, size), np.float32)
    for part in range(bins):
        first, last = part * size // bins, -(-(part + 1) * size // bins)
        matrix[part, first:last] = 1 / (last - first)
    return matrix
