"""The architectures that `--architecture` knows, and how to build one.

Reading the table loads nothing heavy; `build_model` loads Keras.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from segflow.errors import UsageError
from segflow.models.backbones import NO_BACKBONE, NORMALISATIONS, check_backbone, find_backbone

if TYPE_CHECKING:
    import keras

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "output_stride": (8, 16),
    "upsampling": ("transposed", "bilinear"),
}
_FOREIGN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Architecture:
    """One entry of the registry.

    Attributes:
        name: What `--architecture` calls it.
        builder: `module:function`. The function takes `image_size` and `num_classes` as
            keywords, besides its own parameters, and returns an uncompiled functional model
            from float32 pixels [batch, height, width, 3] in 0-255 to float32 logits
            [batch, height, width, num_classes].
        paper: Where it was published.
        description: One line for `--help` and reports.
        parameters: The parameters that the function takes besides those, and what they are unless
            told. With a `backbone` among them, `none` says that it can do without.
        with_backbone: Those that differ where a backbone is given.
        normalisation: A key of `NORMALISATIONS`, for use without a backbone.
    """

    name: str
    builder: str
    paper: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    with_backbone: Mapping[str, Any] = field(default_factory=dict)
    normalisation: str = "tf"


def _encoder(backbone: str) -> dict[str, Any]:
    return {"backbone": backbone, "backbone_alpha": None, "weights": "none"}


ARCHITECTURES: Mapping[str, Architecture] = {
    entry.name: entry
    for entry in (
        Architecture(
            name="unet",
            builder="segflow.models.unet:build_unet",
            paper="Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597",
            description="encoder and decoder with skip connections at every scale",
            parameters={
                "filters": 16,
                "depth": 4,
                "upsampling": "transposed",
                **_encoder(NO_BACKBONE),
            },
            with_backbone={"depth": 5},
        ),
        Architecture(
            name="segnet",
            builder="segflow.models.segnet:build_segnet",
            paper="Badrinarayanan et al. 2017, https://arxiv.org/abs/1511.00561",
            description="decoder that puts features back where the maxima lay",
            parameters={"filters": 32, "depth": 5},
        ),
        Architecture(
            name="deeplab_v3",
            builder="segflow.models.deeplab:build_deeplab_v3",
            paper="Chen et al. 2017, https://arxiv.org/abs/1706.05587",
            description="dilated backbone and a pyramid of atrous convolutions",
            parameters={"filters": 256, "output_stride": 16, **_encoder("mobilenet_v2")},
        ),
        Architecture(
            name="deeplab_v3_plus",
            builder="segflow.models.deeplab:build_deeplab_v3_plus",
            paper="Chen et al. 2018, https://arxiv.org/abs/1802.02611",
            description="DeepLabV3 with separable convolutions and a decoder at stride 4",
            parameters={"filters": 256, "output_stride": 16, **_encoder("mobilenet_v2")},
        ),
        Architecture(
            name="fpn",
            builder="segflow.models.fpn:build_fpn",
            paper="Kirillov et al. 2019, https://arxiv.org/abs/1901.02446",
            description="feature pyramid over strides 4 to 32, summed at stride 4",
            parameters={"filters": 128, **_encoder("mobilenet_v2")},
        ),
        Architecture(
            name="pspnet",
            builder="segflow.models.pspnet:build_pspnet",
            paper="Zhao et al. 2017, https://arxiv.org/abs/1612.01105",
            description="dilated backbone and a pyramid of means over parts of the image",
            parameters={"filters": 256, "output_stride": 16, **_encoder("mobilenet_v2")},
        ),
        Architecture(
            name="lraspp",
            builder="segflow.models.lraspp:build_lraspp",
            paper="Howard et al. 2019, https://arxiv.org/abs/1905.02244",
            description="light head for large numbers of images on CPUs",
            parameters={"filters": 128, **_encoder("mobilenet_v3_large")},
        ),
        Architecture(
            name="segformer",
            builder="segflow.models.segformer:build_segformer",
            paper="Xie et al. 2021, https://arxiv.org/abs/2105.15203",
            description="transformer at four scales and a plain decoder",
            parameters={"filters": 32},
            normalisation="torch",
        ),
    )
}


def find_architecture(name: str) -> Architecture:
    """The entry of that name, or one for a function of another package, `package.module:function`.

    Raises:
        UsageError: It is neither.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if _FOREIGN.fullmatch(name):
        return Architecture(name=name, builder=name, paper="", description="from another package")
    raise UsageError(
        f"no architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}, or "
        "package.module:function"
    )


def model_parameters(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an architecture, completed and checked.

    Args:
        name: What `--architecture` says.
        given: Parameters by name; None stands for the architecture's own default.

    Raises:
        UsageError: The architecture does not take one of them, or they do not go together.
    """
    entry = find_architecture(name)
    given = {key: value for key, value in given.items() if value is not None}
    _check_taken(entry, given)
    has_backbone = given.get("backbone", NO_BACKBONE) != NO_BACKBONE
    parameters = {**entry.parameters, **(entry.with_backbone if has_backbone else {}), **given}
    for key, values in _CHOICES.items():
        if key in parameters and parameters[key] not in values:
            raise UsageError(
                f"--{_flag(key)} must be {' or '.join(map(str, values))}, found {parameters[key]}"
            )
    if "backbone" in parameters:
        _check_backbone(entry, parameters)
    return parameters


def normalisation(name: str, parameters: Mapping[str, Any]) -> str:
    """What a model does to pixels of 0-255 before all else, in words.

    Args:
        name: What `--architecture` says.
        parameters: As `build_model` takes them.
    """
    entry = find_architecture(name)
    if name not in ARCHITECTURES:
        return "the model's own"
    backbone = {**entry.parameters, **parameters}.get("backbone", NO_BACKBONE)
    if backbone == NO_BACKBONE:
        return NORMALISATIONS[entry.normalisation]
    return NORMALISATIONS[find_backbone(backbone).normalisation]


def in_words(name: str, parameters: Mapping[str, Any]) -> str:
    """An architecture with its backbone, which may be its own choice.

    Args:
        name: What `--architecture` says.
        parameters: As `model_parameters` gives them.
    """
    if parameters.get("backbone", NO_BACKBONE) == NO_BACKBONE:
        return name
    return f"{name} on {parameters['backbone']} (weights: {parameters['weights']})"


def check_freezable(name: str, parameters: Mapping[str, Any]) -> None:
    """Raises `UsageError` if a model can have a backbone and is told to have none.

    What takes no such parameter says what it has once it is built.
    """
    if parameters.get("backbone") == NO_BACKBONE:
        raise nothing_to_freeze(name)


def nothing_to_freeze(name: str) -> UsageError:
    """What to say of a model without a backbone that is to be frozen."""
    return UsageError(
        f"--freeze-backbone-epochs: the model {name!r} has no backbone to freeze; choose one with "
        "--backbone, or leave the flag out"
    )


def build_model(
    name: str, image_size: tuple[int, int], num_classes: int, parameters: Mapping[str, Any]
) -> "keras.Model":
    """Builds an architecture; its weights are fresh but for those of a pretrained backbone.

    Args:
        name: A key of `ARCHITECTURES`, or `package.module:function`.
        image_size: (height, width) in pixels of what the model takes and returns.
        num_classes: Number of logits per pixel.
        parameters: The architecture's own parameters; what is missing is as in the registry.

    Returns:
        An uncompiled functional model as `Architecture.builder` describes it.

    Raises:
        UsageError: No architecture has that name, it does not take these parameters, or it cannot
            be built at this size.
    """
    taken = model_parameters(name, parameters)
    if name not in ARCHITECTURES:
        from segflow.models.foreign import build_foreign

        return build_foreign(name, image_size, num_classes)
    module, function = find_architecture(name).builder.split(":")
    return getattr(import_module(module), function)(
        image_size=image_size, num_classes=num_classes, **taken
    )


def _check_taken(entry: Architecture, given: Mapping[str, Any]) -> None:
    wrong = [key for key in given if key not in entry.parameters]
    if wrong:
        taken = ", ".join(f"--{_flag(key)}" for key in entry.parameters) or "no such flags"
        raise UsageError(
            f"--{_flag(wrong[0])} is not for --architecture {entry.name}, which takes {taken}"
        )


def _check_backbone(entry: Architecture, parameters: Mapping[str, Any]) -> None:
    backbone = parameters["backbone"]
    if backbone == NO_BACKBONE and entry.parameters["backbone"] != NO_BACKBONE:
        raise UsageError(
            f"--architecture {entry.name} needs a backbone, such as "
            f"--backbone {entry.parameters['backbone']}"
        )
    check_backbone(backbone, parameters["backbone_alpha"], parameters["weights"])


def _flag(parameter: str) -> str:
    return parameter.replace("_", "-")
