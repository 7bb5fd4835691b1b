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


def build(*, image_size: tuple[int, int], num_classes: int, filters: int) -> keras.Model:
    """One convolution with batch norm as backbone, one as decoder, and the head."""
    pixels = keras.Input((*image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalize")(pixels)
    for name in ("backbone", "decoder"):
        x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.Conv2D(num_classes, 1, dtype="float32", name="classify")(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="tiny")
