"""Architectures of other packages: `package.module:function`, called and checked.

What can go wrong with somebody's function is found here, before any training, and said in one
line that names it.
"""

import inspect
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import keras

from segflow.errors import SegflowError, UsageError
from segflow.models.model_file import require_safe_model


def build_foreign(address: str, image_size: tuple[int, int], num_classes: int) -> keras.Model:
    """Calls the function and checks what it returns.

    Args:
        address: `package.module:function`.
        image_size: (height, width) in pixels of what the model is to take and return.
        num_classes: Number of logits per pixel.

    Raises:
        UsageError: There is no such function, it cannot be called or fails, or it returns no
            model from pixels to float32 logits that loads again with Keras alone.
    """
    function = _find(address)
    arguments = {"image_size": image_size, "num_classes": num_classes}
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"--architecture {address} cannot be called as "
            f"f(image_size=(height, width), num_classes=n): {error}"
        ) from error
    try:
        model = function(**arguments)
    except SegflowError:
        raise
    except Exception as error:  # whatever somebody's code raises
        raise UsageError(
            f"--architecture {address} fails{_where(error, function)}: {type(error).__name__}: "
            f"{_first_line(error)}"
        ) from error
    _check(address, model, image_size, num_classes)
    return model


def _find(address: str) -> Callable[..., Any]:
    module, name = address.split(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"--architecture {address}: {error}; install the package, or name its folder in "
            "PYTHONPATH"
        ) from error
    return function


def _where(error: Exception, function: Callable[..., Any]) -> str:
    """The line of the function's own file at which it failed, not the one deep inside Keras."""
    file = inspect.getsourcefile(inspect.unwrap(function))
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" at {Path(file).name}:{lines[-1]}" if file and lines else ""


def _check(address: str, model: Any, image_size: tuple[int, int], num_classes: int) -> None:
    if not isinstance(model, keras.Model):
        raise UsageError(
            f"--architecture {address} must return a keras.Model, found {type(model).__name__}"
        )
    shapes = (None, *image_size, 3), (None, *image_size, num_classes)
    found = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if found != shapes:
        raise UsageError(
            f"--architecture {address} must take {shapes[0]} and return logits {shapes[1]}, "
            f"found {found[0]} and {found[1]}"
        )
    dtype = keras.backend.standardize_dtype(model.outputs[0].dtype)
    if dtype != "float32":
        raise UsageError(
            f"--architecture {address} must return float32 logits, as losses need them, found "
            f'{dtype}; give its last layer dtype="float32"'
        )
    _check_loads(address, model)


def _check_loads(address: str, model: keras.Model) -> None:
    """Whether a bundle of this model could be opened by those who have Keras alone."""
    with tempfile.TemporaryDirectory() as folder, _keras_alone():
        file = Path(folder, "model.keras")
        try:
            model.save(file)
            keras.models.load_model(file, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many kinds, and custom layers whatever they like
            raise UsageError(
                f"--architecture {address}: the stored model could not be loaded with Keras alone"
                f"{_culprit(model)}; build it of Keras's own layers, without Lambda"
            ) from error
        try:
            require_safe_model(file)
        except UsageError as error:
            raise UsageError(f"--architecture {address}: the stored {error}") from error


@contextmanager
def _keras_alone() -> Iterator[None]:
    """Forgets registered classes meanwhile: whoever loads a bundle has not registered them."""
    registered = keras.saving.get_custom_objects()
    before = dict(registered)
    registered.clear()
    try:
        with keras.saving.custom_object_scope({}):
            yield
    finally:
        registered.update(before)


def _culprit(model: keras.Model) -> str:
    """The first layer that does not come back on its own, in words."""
    layers = [x for x in model._flatten_layers() if not isinstance(x, keras.Model)]
    for layer in layers:
        try:
            config = keras.saving.serialize_keras_object(layer)
            keras.saving.deserialize_keras_object(config, safe_mode=True)
        except Exception:  # as above
            return f" for its layer {layer.name!r} ({type(layer).__name__})"
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
