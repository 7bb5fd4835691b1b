"""Augmented copies: image and mask through one geometry, every choice from a seed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from segflow import hashing
from segflow.data.config import AugmentationConfig


@dataclass(frozen=True)
class Augmentation:
    """The choices made for one variant; factors of 1 and angles of 0 change nothing.

    Attributes:
        mirror: Flip left and right.
        upside_down: Flip top and bottom.
        rotation: Degrees, counter-clockwise.
        zoom: Factor of scale; above 1 enlarges.
        brightness: Factor.
        contrast: Factor.
        saturation: Factor.
    """

    mirror: bool
    upside_down: bool
    rotation: float
    zoom: float
    brightness: float
    contrast: float
    saturation: float


def choose(config: AugmentationConfig, seed: int, key: str, variant: int) -> Augmentation:
    """The augmentation of a key's variant: a pure function of its arguments."""
    random = np.random.default_rng(hashing.stable_seed("augment", seed, key, variant))

    def factor(spread: float) -> float:
        return float(1 + random.uniform(-spread, spread))

    return Augmentation(
        mirror=bool(random.random() < config.flip_horizontal),
        upside_down=bool(random.random() < config.flip_vertical),
        rotation=float(random.uniform(-config.rotation, config.rotation)),
        zoom=math.exp(random.uniform(math.log(config.zoom[0]), math.log(config.zoom[1]))),
        brightness=factor(config.brightness),
        contrast=factor(config.contrast),
        saturation=factor(config.saturation),
    )


def apply(
    augmentation: Augmentation, image: NDArray[np.uint8], mask: NDArray[Any], ignore_id: int
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Applies one geometry to image (bilinear) and mask (nearest), then colours to the image.

    Args:
        augmentation: From `choose`.
        image: uint8 [height, width, 3].
        mask: uint8 or uint16 [height, width].
        ignore_id: What mask pixels become that have no source; in the image they are black.

    Returns:
        The new image and mask, shapes and dtypes as given.
    """
    matrix = _inverse_affine(augmentation, image.shape[0], image.shape[1])
    size = (image.shape[1], image.shape[0])
    picture = Image.fromarray(image).transform(
        size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    for enhance, factor in (
        (ImageEnhance.Brightness, augmentation.brightness),
        (ImageEnhance.Contrast, augmentation.contrast),
        (ImageEnhance.Color, augmentation.saturation),
    ):
        picture = enhance(picture).enhance(factor)
    return np.asarray(picture), _transform_ids(mask, matrix, ignore_id)


def _transform_ids(mask: NDArray[Any], matrix: tuple[float, ...], ignore_id: int) -> NDArray[Any]:
    # Pillow's nearest transform takes no 16-bit fill, so ids are looked up by hand.
    height, width = mask.shape
    a, b, c, d, e, f = matrix
    x = np.arange(width) + 0.5
    y = np.arange(height)[:, None] + 0.5
    columns = np.floor(a * x + b * y + c).astype(np.int64)
    rows = np.floor(d * x + e * y + f).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    moved = np.full(mask.shape, ignore_id, mask.dtype)
    moved[inside] = mask[rows[inside], columns[inside]]
    return moved


def _inverse_affine(augmentation: Augmentation, height: int, width: int) -> tuple[float, ...]:
    """Coefficients (a, b, c, d, e, f) that take a target pixel to its source, as Pillow wants.

    source = M (target - centre) + centre with M = flip · rotation(-angle) / zoom; coordinates
    are of pixel centres, x + 0.5.
    """
    angle = math.radians(augmentation.rotation)
    cos, sin = math.cos(angle) / augmentation.zoom, math.sin(angle) / augmentation.zoom
    flip_x = -1.0 if augmentation.mirror else 1.0
    flip_y = -1.0 if augmentation.upside_down else 1.0
    a, b = flip_x * cos, flip_x * -sin
    d, e = flip_y * sin, flip_y * cos
    x, y = width / 2, height / 2
    return a, b, x - a * x - b * y, d, e, y - d * x - e * y
