"""Plain NumPy and Pillow counterparts of what models that average are made of."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from PIL import Image

CLASSES = 3

Array = NDArray[np.float64]


def tiny_model(seed: int, size: tuple[int, int]) -> keras.Model:
    """A convolution with a view of 3 x 3 pixels; no symmetry, and sure of itself at times."""
    initializer = keras.initializers.RandomNormal(stddev=1.5, seed=seed)
    pixels = keras.Input((*size, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = layers.Conv2D(CLASSES, 3, padding="same", kernel_initializer=initializer, name="classify")(
        x
    )
    return keras.Model(pixels, x, name="tiny")


def noise(size: tuple[int, int], count: int = 2) -> NDArray[np.float32]:
    """Pictures of noise, float32 [count, h, w, 3] of whole numbers 0 to 255."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, *size, 3))
    return pixels.astype(np.float32)


def resize(pictures: Array, size: tuple[int, int]) -> Array:
    """Pillow's bilinear filter on each channel, without rounding."""
    return np.stack(
        [
            np.stack(
                [
                    Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR)
                    for plane in np.moveaxis(picture, -1, 0).astype(np.float32)
                ],
                axis=-1,
            )
            for picture in pictures
        ]
    )


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def ask(model: keras.Model, pictures: Array, temperature: float = 1) -> Array:
    """The model's probabilities, its logits divided by a temperature, at the pictures' size."""
    size = model.input_shape[1:3]
    logits = keras.ops.convert_to_numpy(model(resize(pictures, size).astype(np.float32)))
    return resize(softmax(logits.astype(np.float64) / temperature), pictures.shape[1:3])


def mirror(x: Array) -> Array:
    """Left and right exchanged."""
    return x[:, :, ::-1]


def _smaller(model: keras.Model, pictures: Array) -> Array:
    height, width = pictures.shape[1:3]
    inner = round(height * 0.75), round(width * 0.75)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    around = ((0, 0), (top, height - inner[0] - top), (left, width - inner[1] - left), (0, 0))
    padded = np.pad(resize(pictures, inner), around, mode="reflect")
    seen = ask(model, padded)[:, top : top + inner[0], left : left + inner[1]]
    return resize(seen, (height, width))


def _larger(model: keras.Model, pictures: Array) -> Array:
    """Of each pixel of the enlarged picture, what the window in its corner says."""
    height, width = pictures.shape[1:3]
    outer = round(height * 1.25), round(width * 1.25)
    picture = resize(pictures, outer)
    seen = np.full((*picture.shape[:3], CLASSES), np.nan)
    for bottom in (False, True):
        for right in (False, True):
            top, left = bottom * (outer[0] - height), right * (outer[1] - width)
            window = np.full_like(seen, np.nan)
            window[:, top : top + height, left : left + width] = ask(
                model, picture[:, top : top + height, left : left + width]
            )
            rows = slice(outer[0] // 2, None) if bottom else slice(outer[0] // 2)
            columns = slice(outer[1] // 2, None) if right else slice(outer[1] // 2)
            seen[:, rows, columns] = window[:, rows, columns]
    assert not np.isnan(seen).any()
    return resize(seen, (height, width))


def views(model: keras.Model, pictures: Array, *, scales: bool) -> list[Array]:
    """The model's probabilities of both views of each picture, or of all six."""
    asks = [ask, _smaller, _larger] if scales else [ask]
    straight = [one(model, pictures) for one in asks]
    return straight + [mirror(one(model, mirror(pictures))) for one in asks]
