"""Augmenting pixels: image and mask through one geometry, then colours and damage to the image.

All geometry is one affine map, applied to the image bilinearly and to the mask by nearest
neighbour at the same coordinates, so that the two stay aligned and no id is invented. All colour
is another, of RGB values, so that nothing is clipped half-way.
"""

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageStat

from segflow.data.augment import Augmentation, Window
from segflow.data.resize import PADDING

Matrix = NDArray[np.float64]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in Pillow's and JPEG's grey
# To NTSC's luma and two axes of colour (YIQ); hues turn about the first axis, which is grey.
_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_RGB = np.linalg.inv(_YIQ)
_NUMBERS_AT_ONCE = 1 << 14  # arrays of so many stay in the processor's cache
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def apply(
    augmentation: Augmentation, image: NDArray[np.uint8], mask: NDArray[Any], ignore_id: int
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Makes the augmented copy of an image and its mask: a pure function of its arguments.

    Args:
        augmentation: From `augment.choose`, or from a row of the index.
        image: uint8 [height, width, 3].
        mask: uint8 or uint16 [height, width].
        ignore_id: What mask pixels become that have no source or lie in a hole; in the image
            these are mid-grey, like the padding of a letterbox.

    Returns:
        The new image and mask, shapes and dtypes as given.
    """
    matrix = inverse_affine(augmentation, image.shape[0], image.shape[1])
    picture = Image.fromarray(image)
    if matrix != _IDENTITY:
        picture = _transform_image(picture, matrix)
        mask = _transform_ids(mask, matrix, ignore_id)
    picture = _damage(augmentation, _recolour(augmentation, picture), image)
    pixels = np.asarray(picture)
    if augmentation.cutout[2]:
        pixels, mask = pixels.copy(), mask.copy()
        box = _box(augmentation.cutout, mask.shape)
        pixels[box], mask[box] = PADDING, ignore_id
    return pixels, mask


def inverse_affine(augmentation: Augmentation, height: int, width: int) -> tuple[float, ...]:
    """Coefficients (a, b, c, d, e, f) that take a target pixel to its source, as Pillow wants.

    source = M (target - centre) + centre of the crop, with M = side · flip · shear⁻¹ ·
    rotation⁻¹ / zoom; coordinates are of pixel centres, x + 0.5.
    """
    left, top, side = augmentation.crop
    angle = math.radians(augmentation.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    slant = math.tan(math.radians(augmentation.shear))
    flip_x = -1.0 if augmentation.flip_horizontal else 1.0
    flip_y = -1.0 if augmentation.flip_vertical else 1.0
    scale_x, scale_y = (flip * side / augmentation.zoom for flip in (flip_x, flip_y))
    a, b = scale_x * (cos + slant * sin), scale_x * (slant * cos - sin)
    d, e = scale_y * sin, scale_y * cos
    x, y = width / 2, height / 2
    source_x, source_y = (left + side / 2) * width, (top + side / 2) * height
    return a, b, source_x - a * x - b * y, d, e, source_y - d * x - e * y


def _transform_image(picture: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=(PADDING, PADDING, PADDING),
    )


def _transform_ids(mask: NDArray[Any], matrix: tuple[float, ...], ignore_id: int) -> NDArray[Any]:
    # Pillow's nearest transform takes no 16-bit fill and rounds coordinates to 1/65536, so ids
    # are looked up by hand, in the order of additions of Pillow's bilinear one.
    height, width = mask.shape
    a, b, c, d, e, f = matrix
    x = np.arange(width) + 0.5
    moved = np.empty_like(mask)
    step = max(1, _NUMBERS_AT_ONCE // width)
    for top in range(0, height, step):
        band = moved[top : top + step]
        y = np.arange(top, top + len(band))[:, None] + 0.5
        columns, rows = a * x + b * y + c, d * x + e * y + f
        outside = (columns < 0) | (columns >= width) | (rows < 0) | (rows >= height)
        source = rows.astype(np.intp) * width + columns.astype(np.intp)
        mask.ravel().take(source, mode="clip", out=band)
        band[outside] = ignore_id
    return moved


def _recolour(augmentation: Augmentation, picture: Image.Image) -> Image.Image:
    """Brightness, contrast about the mean grey, saturation and hue in one affine map of RGB."""
    gain = augmentation.brightness * augmentation.contrast
    saturation = 0.0 if augmentation.grey else augmentation.saturation
    if (gain, augmentation.contrast, saturation, augmentation.hue) == (1, 1, 1, 0):
        return picture
    offset = 0.0
    if augmentation.contrast != 1:
        mean = float(_LUMA @ ImageStat.Stat(picture).mean) * augmentation.brightness
        offset = (1 - augmentation.contrast) * min(mean, 255.0)
    colours = gain * _turn(augmentation.hue) @ _saturate(saturation)
    rows = np.column_stack([colours, np.full(3, offset)])
    # Rounded: the last bits of a product may differ from one processor to another.
    return picture.convert("RGB", tuple(rows.round(9).ravel().tolist()))


def _saturate(factor: float) -> Matrix:
    """Moves colours towards (below 1) or away from their grey; greys stay."""
    return factor * np.eye(3) + (1 - factor) * np.tile(_LUMA, (3, 1))


def _turn(degrees: float) -> Matrix:
    """Turns hues about the axis of greys, like `hue-rotate` of W3C's Filter Effects."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return _RGB @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ


def _damage(
    augmentation: Augmentation, picture: Image.Image, source: NDArray[np.uint8]
) -> Image.Image:
    """Blur, noise and JPEG artefacts, in the order of lens, sensor and file."""
    if augmentation.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(augmentation.blur))
    if augmentation.noise:
        channels = 1 if augmentation.grey or _is_grey(source) else 3
        noise = _noise(augmentation, (picture.height, picture.width, channels))
        noisy = np.asarray(picture, np.float32) + noise
        picture = Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))
    if augmentation.jpeg:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=augmentation.jpeg)
        picture = Image.open(buffer, formats=("JPEG",))
    return picture


def _noise(augmentation: Augmentation, shape: tuple[int, ...]) -> NDArray[np.float32]:
    random = np.random.default_rng(augmentation.noise_seed)
    return np.float32(augmentation.noise) * random.standard_normal(shape, np.float32)


def _is_grey(image: NDArray[np.uint8]) -> bool:
    return bool((image[..., :1] == image[..., 1:]).all())


def _box(window: Window, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a window, without what reaches beyond the border."""
    left, top, side = window
    (y0, y1), (x0, x1) = (
        (round(max(start, 0.0) * length), round(min(start + side, 1.0) * length))
        for start, length in ((top, shape[0]), (left, shape[1]))
    )
    return slice(y0, y1), slice(x0, x1)
