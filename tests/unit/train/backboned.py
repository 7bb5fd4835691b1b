"""A tiny model with a backbone: layers as an architecture with a pretrained encoder names them."""

import dataclasses

import keras
from keras import layers

from segflow.models import registry


def register() -> None:
    """Makes `--architecture tiny` known in this process."""
    entry = dataclasses.replace(
        registry.ARCHITECTURES["unet"],
        name="tiny",
        builder="tests.unit.train.backboned:build",
        parameters={"filters": 4},
    )
    registry.ARCHITECTURES = {**registry.ARCHITECTURES, "tiny": entry}


def build(
    *, image_size: tuple[int, int], num_classes: int, filters: int = 4, dropout: float = 0.0
) -> keras.Model:
    """One convolution with batch norm as backbone, one as decoder, and the head.

    Without biases that batch norm takes out again: their gradient would be rounding noise alone,
    which Adam makes into steps of full length.
    """
    pixels = keras.Input((*image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalize")(pixels)
    for name in ("backbone", "decoder"):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(num_classes, 1, dtype="float32", name="classify")(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="tiny")


def build_with_dropout(*, image_size: tuple[int, int], num_classes: int) -> keras.Model:
    """The same with a layer that has random numbers of its own."""
    return build(image_size=image_size, num_classes=num_classes, dropout=0.2)
