"""Test-time augmentation: a model asked about several views of a picture, its answers averaged.

The mean is of class probabilities. Models have a fixed input size, so the picture is scaled
inside it: made smaller, it is surrounded by its reflection; made larger, each of its quarters is
seen by the window in its corner, with the surroundings that fit. Training with zoom shows a model
such pictures too.
"""

from collections.abc import Callable

import keras
from keras import layers, ops

from segflow.models.probabilities import logits_of, mean, probabilities, resized

_SMALLER, _LARGER = 0.75, 1.25

# Pictures to probabilities, both at the model's size.
_Ask = Callable[[keras.KerasTensor], keras.KerasTensor]


def average_over_views(model: keras.Model, *, scales: bool) -> keras.Model:
    """A model that averages another's probabilities over views of each picture.

    Args:
        model: Pixels 0-255 to logits, at one size.
        scales: Besides the picture and its mirror image (left and right), also both at 0.75 and
            1.25 times their size: six views, for twelve times the work; else two.

    Returns:
        An uncompiled functional model of the same inputs and outputs, which shares the weights.
        Its logits are the logarithms of the mean probabilities.
    """
    pixels = keras.Input(model.input_shape[1:], name="image")

    def ask(picture: keras.KerasTensor) -> keras.KerasTensor:
        return probabilities(model, picture)

    views = []
    for mirror in (layers.Identity(dtype="float32"), _mirrored):
        views.append(mirror(ask(mirror(pixels))))
        if scales:
            views.append(mirror(_asked_smaller(ask, mirror(pixels))))
            views.append(mirror(_asked_larger(ask, mirror(pixels))))
    return keras.Model(pixels, logits_of(mean(views)), name=f"{model.name}_views")


def _mirrored(x: keras.KerasTensor) -> keras.KerasTensor:
    return ops.flip(x, axis=2)


def _asked_smaller(ask: _Ask, pixels: keras.KerasTensor) -> keras.KerasTensor:
    size = tuple(pixels.shape[1:3])
    inner = tuple(max(1, round(side * _SMALLER)) for side in size)
    before = tuple((side - part) // 2 for side, part in zip(size, inner, strict=True))
    padding = [
        (start, side - part - start) for start, side, part in zip(before, size, inner, strict=True)
    ]
    picture = ops.pad(resized(pixels, inner), [(0, 0), *padding, (0, 0)], mode="reflect")
    (top, left), (height, width) = before, inner
    return resized(ask(picture)[:, top : top + height, left : left + width], size)


def _asked_larger(ask: _Ask, pixels: keras.KerasTensor) -> keras.KerasTensor:
    height, width = size = tuple(pixels.shape[1:3])
    outer = tuple(round(side * _LARGER) for side in size)
    picture, (middle, centre) = resized(pixels, outer), (outer[0] // 2, outer[1] // 2)
    top, left = outer[0] - height, outer[1] - width  # where the last windows begin
    above, below = picture[:, :height], picture[:, top:]
    quarters = (
        (
            ask(rows[:, :, :width])[:, kept, :centre],
            ask(rows[:, :, left:])[:, kept, centre - left :],
        )
        for rows, kept in ((above, slice(None, middle)), (below, slice(middle - top, None)))
    )
    return resized(ops.concatenate([ops.concatenate(q, axis=2) for q in quarters], axis=1), size)
