"""Opening a model file with Keras alone."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import keras

from segflow.errors import UsageError

_LARGEST_TENSOR = 1 << 30  # numbers of one picture: 4 GiB in single precision


def load_plain(path: Path) -> keras.Model:
    """Loads a file of Keras's own layers, uncompiled; nothing is run.

    Args:
        path: A `.keras` file that `segflow.models.model_file.require_safe_model` has passed.

    Raises:
        UsageError: Keras cannot load it, or one picture would fill the memory.
    """
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds
        words = (str(error).strip().splitlines() or [""])[0][:200]
        raise UsageError(
            f"model {path}: Keras cannot load it ({type(error).__name__}: {words}); save the "
            "model again with this version of Keras"
        ) from error
    for name, numbers in _outputs(model):
        if numbers > _LARGEST_TENSOR:
            raise UsageError(
                f"model {path}: its layer {name!r} makes {numbers:,} numbers of one picture, "
                f"expected at most {_LARGEST_TENSOR:,}; build it for smaller pictures"
            )
    return model


def _outputs(model: keras.Model) -> Iterator[tuple[str, int]]:
    """Each layer's and operation's name, and how many numbers it makes of one picture."""
    for operation in getattr(model, "operations", model.layers):
        for node in operation._inbound_nodes:
            for tensor in node.output_tensors:
                # Sides that are open until pictures come, as of the batch, count once.
                yield operation.name, prod(side or 1 for side in tensor.shape)
        if isinstance(operation, keras.Model):
            yield from _outputs(operation)
