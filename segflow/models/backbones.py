"""Encoders pretrained on ImageNet, as the first part of a segmentation model.

The table and its checks load nothing heavy; segflow.models.encoder builds from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segflow.errors import UsageError

if TYPE_CHECKING:
    import keras

PREFIX = "backbone_"  # of the names of a backbone's layers in every architecture
NO_BACKBONE = "none"

# What a network does to pixels of 0-255 before its first convolution, by the names that
# keras.applications.imagenet_utils has for these customs.
NORMALISATIONS: Mapping[str, str] = {
    "tf": "x / 127.5 - 1",
    "caffe": "BGR, x - (103.939, 116.779, 123.68)",
    "torch": "(x / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)",
}


@dataclass(frozen=True)
class Backbone:
    """A network of keras.applications.

    Attributes:
        name: What `--backbone` calls it.
        function: Its name in keras.applications.
        normalisation: A key of `NORMALISATIONS`.
        paper: Where it was published.
        has_alpha: Whether its width can be scaled with `alpha`.
        normalises_itself: Whether the function would put that normalisation into the network; it
            is told not to, so that it is done in one place for all.
    """

    name: str
    function: str
    normalisation: str
    paper: str
    has_alpha: bool = False
    normalises_itself: bool = False


_RESNET = "He et al. 2016, https://arxiv.org/abs/1512.03385"
_MOBILENET_V3 = "Howard et al. 2019, https://arxiv.org/abs/1905.02244"

BACKBONES: Mapping[str, Backbone] = {
    entry.name: entry
    for entry in (
        Backbone(
            "mobilenet",
            "MobileNet",
            "tf",
            "Howard et al. 2017, https://arxiv.org/abs/1704.04861",
            has_alpha=True,
        ),
        Backbone(
            "mobilenet_v2",
            "MobileNetV2",
            "tf",
            "Sandler et al. 2018, https://arxiv.org/abs/1801.04381",
            has_alpha=True,
        ),
        Backbone(
            "mobilenet_v3_small",
            "MobileNetV3Small",
            "tf",
            _MOBILENET_V3,
            has_alpha=True,
            normalises_itself=True,
        ),
        Backbone(
            "mobilenet_v3_large",
            "MobileNetV3Large",
            "tf",
            _MOBILENET_V3,
            has_alpha=True,
            normalises_itself=True,
        ),
        Backbone("resnet50", "ResNet50", "caffe", _RESNET),
        Backbone("resnet101", "ResNet101", "caffe", _RESNET),
        Backbone(
            "efficientnet_v2_b0",
            "EfficientNetV2B0",
            "torch",
            "Tan and Le 2021, https://arxiv.org/abs/2104.00298",
            normalises_itself=True,
        ),
        Backbone(
            "convnext_tiny",
            "ConvNeXtTiny",
            "torch",
            "Liu et al. 2022, https://arxiv.org/abs/2201.03545",
            normalises_itself=True,
        ),
    )
}


def find_backbone(name: str) -> Backbone:
    """The entry of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in BACKBONES:
        known = ", ".join((NO_BACKBONE, *BACKBONES))
        raise UsageError(f"no backbone {name!r}; choose one of {known}")
    return BACKBONES[name]


def check_backbone(name: str, alpha: float | None, weights: str) -> None:
    """Whether these settings go together.

    Args:
        name: A key of `BACKBONES`, or `none`.
        alpha: Factor of the width; None: as published.
        weights: `none`, `imagenet`, or a file.

    Raises:
        UsageError: No backbone has that name, or it does not take the others.
    """
    if name == NO_BACKBONE:
        if weights != "none":
            raise UsageError(f"--weights {weights} is for a backbone; name it with --backbone")
        if alpha is not None:
            raise UsageError("--backbone-alpha is for a backbone; name it with --backbone")
    elif alpha is not None and not find_backbone(name).has_alpha:
        scaled = ", ".join(entry.name for entry in BACKBONES.values() if entry.has_alpha)
        raise UsageError(f"--backbone-alpha: {name} has one width only; it is for {scaled}")
    else:
        find_backbone(name)
    if alpha is not None and alpha <= 0:
        raise UsageError(f"--backbone-alpha must be positive, found {alpha}")


def is_backbone_layer(layer: "keras.Layer") -> bool:
    """Whether a layer of a segmentation model belongs to its backbone."""
    return str(layer.name).startswith(PREFIX)


def is_backbone_variable(variable: "keras.Variable") -> bool:
    """Whether a weight of a segmentation model belongs to its backbone."""
    return str(variable.path).startswith(PREFIX)
