"""Random changes to a training example, drawn from a seed, in TensorFlow graphs.

Geometry is one affine map, applied to the image bilinearly and to the mask by nearest
neighbour, so that the two stay aligned and no id is invented.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from segflow.train.augment_config import AugmentationConfig

_DRAWS = 10

# A turn of the hue by t and a stretch of the saturation by s map RGB by
# grey + s cos(t) * cosine + s sin(t) * sine: in YIQ, which keeps the luma of Rec. 601 apart, both
# act on the plane of the chroma alone.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_GREY, _COSINE, _SINE = (
    (np.linalg.inv(_YIQ) @ np.array(change) @ _YIQ).astype(np.float32)
    for change in (
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
    )
)


def augment(
    image: Any, mask: Any, seed: Any, config: AugmentationConfig, ignore_id: int
) -> tuple[Any, Any]:
    """Flips, rotates, zooms and recolours one example.

    Args:
        image: float32 [h, w, 3] in 0-255.
        mask: int32 [h, w] of ids.
        seed: int32 [2]; equal seeds give equal results.
        config: Which changes, and how large.
        ignore_id: What mask pixels from outside the picture become.

    Returns:
        Image and mask of the same shapes and types. Image pixels from outside the picture are
        its reflection.
    """
    draws = tf.unstack(tf.random.stateless_uniform([_DRAWS], seed))
    matrix = _affine(draws, tf.shape(image), config)
    image = _transform(image, matrix, "BILINEAR", "REFLECT", 0.0)
    mask = _transform(mask[..., tf.newaxis], matrix, "NEAREST", "CONSTANT", float(ignore_id))
    return _recolour(image, draws[6:], config), mask[..., 0]


def _affine(draws: list[Any], shape: Any, config: AugmentationConfig) -> Any:
    """From output to input pixel (x, y): float32 [8] as TensorFlow takes it.

    A magnified picture shows a random part of itself, a reduced one lies anywhere in the frame.
    """
    flip_x = tf.where(draws[0] < config.flip_horizontal, -1.0, 1.0)
    flip_y = tf.where(draws[1] < config.flip_vertical, -1.0, 1.0)
    angle = (2.0 * draws[2] - 1.0) * math.radians(config.rotation)
    low, high = (math.log(factor) for factor in config.zoom)
    scale = tf.exp(-(low + draws[3] * (high - low)))  # even in the logarithm: 1/2 as often as 2
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, b, c, d = cos * flip_x, -sin * flip_y, sin * flip_x, cos * flip_y
    x, y = _centre(shape[1]), _centre(shape[0])
    play = tf.abs(1.0 - scale)  # of the half frame
    to_x, to_y = x + (2.0 * draws[4] - 1.0) * play * x, y + (2.0 * draws[5] - 1.0) * play * y
    return tf.stack([a, b, to_x - a * x - b * y, c, d, to_y - c * x - d * y, 0.0, 0.0])


def _centre(size: Any) -> Any:
    return (tf.cast(size, tf.float32) - 1.0) / 2.0  # of pixel centres: 0 to size - 1


def _transform(picture: Any, matrix: Any, interpolation: str, fill: str, value: float) -> Any:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[tf.newaxis],
        transforms=matrix[tf.newaxis],
        output_shape=tf.shape(picture)[:2],
        fill_value=value,
        interpolation=interpolation,
        fill_mode=fill,
    )[0]


def _recolour(image: Any, draws: list[Any], config: AugmentationConfig) -> Any:
    """Hue, saturation, contrast and brightness, each by a draw from 0 to 1: one linear map."""
    hue, saturation, contrast, brightness = (2.0 * draw - 1.0 for draw in draws)
    angle = 2.0 * math.pi * hue * config.hue
    chroma = 1.0 + saturation * config.saturation
    cos, sin = chroma * tf.cos(angle), chroma * tf.sin(angle)
    matrix = tf.constant(_GREY) + cos * tf.constant(_COSINE) + sin * tf.constant(_SINE)
    stretch = 1.0 + contrast * config.contrast
    mean = tf.reduce_mean(tf.linalg.matvec(matrix, tf.reduce_mean(image, (0, 1))))
    shift = (1.0 - stretch) * mean + 255.0 * brightness * config.brightness
    flat = tf.reshape(image, (-1, 3))
    recoloured = tf.matmul(flat, stretch * matrix, transpose_b=True) + shift
    return tf.clip_by_value(tf.reshape(recoloured, tf.shape(image)), 0.0, 255.0)
