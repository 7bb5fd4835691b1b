"""Opening a model file with Keras alone, and whether it is what it should be."""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import keras

from segflow.errors import UsageError

_LARGEST_TENSOR = 1 << 30  # numbers of one picture: 4 GiB in single precision


def load_plain(path: Path) -> keras.Model:
    """Loads a file of Keras's own layers, uncompiled; nothing is run.

    Args:
        path: A `.keras` file that `segflow.models.model_file.require_safe_model` has passed.

    Raises:
        UsageError: Keras cannot load it.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds
        raise UsageError(
            f"model {path}: Keras cannot load it ({_in_words(error)}); save the model again with "
            "this version of Keras"
        ) from error


def require_segmentation(
    path: Path, model: keras.Model, size: tuple[int, int], classes: int
) -> None:
    """Checks that a bundle's model is what its record says; nothing is run.

    Args:
        path: Its file, for messages.
        model: What `load_plain` returned.
        size: (height, width) in pixels.
        classes: As many as the label map has.

    Raises:
        UsageError: It takes or gives something else, or one picture would fill the memory.
    """
    expected = (None, *size, 3), (None, *size, classes)
    found = [
        [tuple(tensor.shape) for tensor in getattr(model, side, ())]
        for side in ("inputs", "outputs")
    ]
    if found != [[shape] for shape in expected]:
        raise UsageError(
            f"model {path}: it takes {_listed(found[0])} and gives {_listed(found[1])}, expected "
            f"{expected[0]} and {expected[1]}, as bundle.json says; make the bundle anew"
        )
    dtype = keras.backend.standardize_dtype(model.outputs[0].dtype)
    if dtype != "float32":
        raise UsageError(f"model {path}: it gives {dtype}, expected float32; make the bundle anew")
    require_room(path, model, size)


def require_room(path: Path, model: keras.Model, size: tuple[int, int]) -> None:
    """Checks that one picture does not fill the memory; nothing is run.

    Every layer is asked what it makes of a picture of this size, also inside models that
    take pictures of any.

    Raises:
        UsageError: It would, or the model cannot take such a picture.
    """
    try:
        _counted(path, model, keras.Input((*size, 3)))
    except UsageError:
        raise
    except Exception as error:  # whatever layers raise of a size that does not suit them
        raise UsageError(
            f"model {path}: cannot take pictures of {size[0]}x{size[1]} ({_in_words(error)}); "
            "give a size that it was made for"
        ) from error


def _counted(path: Path, model: keras.Model, pictures: Any) -> Any:
    """What a model gives, as shapes; each layer's and operation's numbers of one picture."""

    def ask(operation: Any) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            if isinstance(operation, keras.Model):
                said = _counted(path, operation, args[0] if args else kwargs["inputs"])
            else:
                said = operation.compute_output_spec(*args, **kwargs)
            for tensor in keras.tree.flatten(said):
                _require_small(path, operation.name, tensor)
            return said

        return answer

    graph = getattr(model, "_functional", model)  # that of a `Sequential`
    return graph._run_through_graph(pictures, operation_fn=ask)


def _require_small(path: Path, name: str, tensor: Any) -> None:
    # Sides that are open until pictures come, as of the batch, count once.
    numbers = prod(side or 1 for side in tensor.shape)
    if numbers > _LARGEST_TENSOR:
        raise UsageError(
            f"model {path}: its layer {name!r} makes {numbers:,} numbers of one picture, "
            f"expected at most {_LARGEST_TENSOR:,}; build it for smaller pictures"
        )


def _listed(shapes: list[tuple[int | None, ...]]) -> str:
    return " and ".join(map(str, shapes)) or "what it does not say"


def _in_words(error: Exception) -> str:
    words = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {words}"
