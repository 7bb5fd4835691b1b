"""SegNet (Badrinarayanan et al. 2017, https://arxiv.org/abs/1511.00561).

As published: the decoder mirrors the encoder and has no skip connections but the places of the
maxima, to which it puts its features back. The published encoder is that of VGG16 (filters 64,
128, 256, 512, 512 in 2, 2, 3, 3, 3 convolutions); here filters double from `filters` and stop at
eight times that, two convolutions at the first two scales and three below.
"""

import keras
import numpy as np
from keras import layers, ops

from segflow.models.blocks import convolutions
from segflow.models.frame import Frame

# Of equal maxima in a window the first in reading order wins, as in Caffe and cuDNN.
_PRECEDENCE = np.array([[4, 3], [2, 1]], np.float32).reshape(1, 1, 2, 1, 2, 1)


def build_segnet(
    *, image_size: tuple[int, int], num_classes: int, filters: int, depth: int
) -> keras.Model:
    """Builds a SegNet of standard Keras layers.

    Args:
        image_size: (height, width) in pixels; sizes that 2 ** depth does not divide are padded
            inside and the logits cropped again.
        num_classes: Number of logits per pixel.
        filters: Filters at full resolution; doubled at each scale below, up to eight times that.
        depth: How many times the resolution is halved.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, num_classes].
    """
    frame = Frame(image_size, 2**depth)
    pixels, x = frame.open("tf")
    widths = [filters * min(2**scale, 8) for scale in range(depth)]
    counts = [2 if scale < 2 else 3 for scale in range(depth)]
    places = []
    for scale in range(depth):
        x = convolutions(x, widths[scale], counts[scale], f"encoder_{scale}")
        x, place = pool(x, f"encoder_{scale}")
        places.append(place)
    for scale in reversed(range(depth)):
        x = unpool(x, places[scale], f"decoder_{scale}")
        x = convolutions(x, widths[scale], counts[scale] - 1, f"decoder_{scale}")
        x = convolutions(x, widths[max(scale - 1, 0)], 1, f"decoder_{scale}_narrow")
    return keras.Model(pixels, frame.close(x, num_classes), name="segnet")


def pool(x: keras.KerasTensor, name: str) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """2x2 max-pooling that remembers where the maxima lay.

    Args:
        x: Features [batch, h, w, channels] with even h and w.
        name: Beginning of the layers' names.

    Returns:
        The maxima [batch, h/2, w/2, channels], and bool [batch, h/2, 2, w/2, 2, channels], which
        is true at one place of each window, where its maximum lay.
    """
    height, width, channels = x.shape[1:]
    cells = (height // 2, 1, width // 2, 1, channels)
    largest = layers.MaxPooling2D(name=f"{name}_pool")(x)
    windows = layers.Reshape((height // 2, 2, width // 2, 2, channels), name=f"{name}_windows")(x)
    maxima = layers.Reshape(cells, name=f"{name}_maxima")(largest)
    is_maximum = ops.cast(ops.greater_equal(windows, maxima), "float32")
    precedence = ops.multiply(is_maximum, _PRECEDENCE)
    flat = layers.Reshape((height, width, channels), name=f"{name}_precedence")(precedence)
    first = layers.MaxPooling2D(name=f"{name}_first")(flat)
    first = layers.Reshape(cells, name=f"{name}_firsts")(first)
    return largest, ops.equal(precedence, first)  # a byte for each feature until the decoder


def unpool(x: keras.KerasTensor, place: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Puts features back where the maxima of a pooling lay; all else is 0.

    Args:
        x: Features [batch, h/2, w/2, channels].
        place: What `pool` returned besides the maxima.
        name: Beginning of the layers' names.

    Returns:
        [batch, h, w, channels].
    """
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height, 1, width, 1, channels), name=f"{name}_cells")(x)
    x = ops.where(place, x, 0.0)  # its gradient needs no more than the places
    return layers.Reshape((2 * height, 2 * width, channels), name=f"{name}_unpool")(x)
