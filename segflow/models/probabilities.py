"""Class probabilities of models at sizes that are not their own: what averages are made of.

All of it is functional graphs of Keras' own layers and operations, so that a model made of them
loads with a bare `keras.models.load_model`, on every backend.
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

_LEAST = 1e-30  # of a probability; the logarithm of 0 is not finite


def resized(x: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    """Pictures [batch, h, w, c] at another size, float32; as they are where it is their own.

    Bilinear, and averaging where it shrinks: the filter that Pillow calls `BILINEAR` and with
    which images are brought to a model's size, but without Pillow's rounding to whole numbers.
    """
    if tuple(x.shape[1:3]) == size:
        return x
    shrinks = size[0] < x.shape[1] or size[1] < x.shape[2]
    return _bilinear(x, size, antialias=shrinks)


def probabilities(model: keras.Model, pixels: keras.KerasTensor) -> keras.KerasTensor:
    """What a model says of pictures of any size, at that size.

    Args:
        model: Pixels 0-255 to logits, at a size of its own.
        pixels: float32 [batch, h, w, 3] in 0-255.

    Returns:
        float32 [batch, h, w, classes]; each pixel's sum to 1.
    """
    logits = model(resized(pixels, model.input_shape[1:3]))
    return resized(layers.Softmax(dtype="float32")(logits), tuple(pixels.shape[1:3]))


def mean(
    parts: Sequence[keras.KerasTensor], weights: Sequence[float] | None = None
) -> keras.KerasTensor:
    """The weighted mean of probabilities of equal shapes; without weights, all count alike."""
    shares = [1 / len(parts)] * len(parts) if weights is None else weights
    return layers.Add(dtype="float32")(
        [layers.Rescaling(float(w), dtype="float32")(p) for p, w in zip(parts, shares, strict=True)]
    )


def logits_of(probability: keras.KerasTensor) -> keras.KerasTensor:
    """Finite logits, named so, whose softmax are these probabilities."""
    logits = ops.log(ops.maximum(probability, _LEAST))
    return layers.Identity(dtype="float32", name="logits")(logits)


def at_size(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """The model for pictures of another size; itself if they fit.

    Its logits are resized bilinearly, without averaging, as those of a predictor are.
    """
    if tuple(model.input_shape[1:3]) == size:
        return model
    pixels = keras.Input((*size, 3), name="image")
    logits = model(resized(pixels, model.input_shape[1:3]))
    return keras.Model(pixels, _bilinear(logits, size, antialias=False), name=model.name)


def at_temperature(model: keras.Model, temperature: float) -> keras.Model:
    """The model with its logits divided by `temperature`, in float32; itself at 1.

    So calibrated (Guo et al. 2017, https://arxiv.org/abs/1706.04599) it is as sure as it is
    right; which class is likeliest stays the same.
    """
    if temperature == 1:
        return model
    pixels = keras.Input(model.input_shape[1:], name="image")
    scaling = layers.Rescaling(1 / temperature, dtype="float32", name="temperature")
    return keras.Model(pixels, scaling(model(pixels)), name=f"{model.name}_calibrated")


def _bilinear(x: keras.KerasTensor, size: tuple[int, int], *, antialias: bool) -> keras.KerasTensor:
    # Not `layers.Resizing`: where a model is called without `training`, that layer has all behind
    # it train, and batch normalisation takes its statistics from the batch.
    return ops.image.resize(
        x, size, interpolation="bilinear", antialias=antialias, data_format="channels_last"
    )
