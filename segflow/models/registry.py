"""The architectures that `--architecture` knows, and how to build one.

Reading the table loads nothing heavy; `build_model` loads Keras.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from segflow.errors import UsageError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """One entry of the registry.

    Attributes:
        name: What `--architecture` calls it.
        builder: `module:function`. The function takes `image_size` and `num_classes` as
            keywords, besides its own parameters, and returns an uncompiled functional model
            from float32 pixels [batch, height, width, 3] in 0-255 to float32 logits
            [batch, height, width, num_classes].
        parameters: Names of the parameters that the function takes besides those.
        paper: Where it was published.
        description: One line for `--help` and reports.
    """

    name: str
    builder: str
    parameters: tuple[str, ...]
    paper: str
    description: str


ARCHITECTURES: Mapping[str, Architecture] = {
    entry.name: entry
    for entry in (
        Architecture(
            name="unet",
            builder="segflow.models.unet:build_unet",
            parameters=("filters", "depth"),
            paper="Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597",
            description="encoder and decoder with skip connections at every scale",
        ),
    )
}


def find_architecture(name: str) -> Architecture:
    """The entry of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"no architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build_model(
    name: str, image_size: tuple[int, int], num_classes: int, parameters: Mapping[str, Any]
) -> "keras.Model":
    """Builds an architecture with fresh weights.

    Args:
        name: A key of `ARCHITECTURES`.
        image_size: (height, width) in pixels of what the model takes and returns.
        num_classes: Number of logits per pixel.
        parameters: The architecture's own parameters; others are a mistake of the caller.

    Returns:
        An uncompiled functional model as `Architecture.builder` describes it.

    Raises:
        UsageError: No architecture has that name, or it cannot be built at this size.
    """
    module, function = find_architecture(name).builder.split(":")
    build = getattr(import_module(module), function)
    return build(image_size=image_size, num_classes=num_classes, **parameters)
