"""Encoders pretrained on ImageNet, as the first part of a segmentation model."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_PREFIX = "backbone_"  # of the names of a backbone's layers in every architecture


def is_backbone_layer(layer: "keras.Layer") -> bool:
    """Whether a layer of a segmentation model belongs to its backbone."""
    return str(layer.name).startswith(_PREFIX)


def is_backbone_variable(variable: "keras.Variable") -> bool:
    """Whether a weight of a segmentation model belongs to its backbone."""
    return str(variable.path).startswith(_PREFIX)
