"""Somebody's Keras file as a bundle's model: checked, and made to take and give what bundles do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from segflow.errors import UsageError
from segflow.models.loading import load_plain, require_room
from segflow.models.probabilities import logits_of

Gives = Literal["logits", "probabilities"]

_NEAR_ONE = 1e-3  # probabilities in half precision sum to 1 as closely as this


@dataclass(frozen=True)
class Adopted:
    """A model as bundles hold them.

    Attributes:
        model: Uncompiled: float32 pixels [batch, height, width, 3] in 0-255 to float32 logits
            [batch, height, width, classes].
        gives: What the file itself gives.
    """

    model: keras.Model
    gives: Gives


def adopt(
    path: Path,
    size: tuple[int, int],
    classes: int,
    pixel_range: tuple[float, float] = (0, 255),
    gives: Gives | Literal["auto"] = "auto",
) -> Adopted:
    """Loads a file, checks what it takes and gives, and wraps it.

    Of probabilities the logarithms are the logits: their softmax gives the same probabilities
    again, so that both the likeliest class and its confidence are the file's own.

    Args:
        path: A `.keras` file that `segflow.models.model_file.require_safe_model` has passed.
        size: (height, width) in pixels that the bundle's model is to take.
        classes: As many as the label map has.
        pixel_range: What the file wants black and white to be.
        gives: What it gives; `auto`: found out on a picture of noise.

    Raises:
        UsageError: Keras cannot load the file, it takes other pictures, one of them would fill the
            memory, or it gives something else than a finite number for each pixel and class.
    """
    model = load_plain(path)
    _require_pictures(path, model, size)
    pixels = keras.Input((*size, 3), name="image")
    said = _said(path, model, _scaled(pixels, pixel_range))
    require_room(path, model, size)
    _require_logits(path, said, (None, *size, classes))
    found = _found(path, keras.Model(pixels, said), gives)
    if found == "probabilities":
        logits = logits_of(said)
    else:
        logits = layers.Identity(dtype="float32", name="logits")(said)
    return Adopted(keras.Model(pixels, logits, name="adopted"), found)


def _scaled(pixels: keras.KerasTensor, pixel_range: tuple[float, float]) -> keras.KerasTensor:
    low, high = pixel_range
    if (low, high) == (0, 255):
        return pixels
    return layers.Rescaling((high - low) / 255, offset=low, dtype="float32", name="scale")(pixels)


def _require_pictures(path: Path, model: keras.Model, size: tuple[int, int]) -> None:
    expected = (None, *size, 3)
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", ())]
    if len(inputs) == 1 and len(inputs[0]) == 4 and inputs[0][0] is None:
        sides = zip(inputs[0][1:], expected[1:], strict=True)
        if all(found in (None, wanted) for found, wanted in sides):
            return
    found = " and ".join(map(str, inputs)) or "what it does not say"
    raise UsageError(
        f"--model-file {path}: takes {found}, expected {expected}: batches of any number of RGB "
        "pictures of --image-size"
    )


def _said(path: Path, model: keras.Model, pixels: Any) -> Any:
    try:
        return model(pixels, training=False)
    except Exception as error:  # whatever layers raise of a size that does not suit them
        words = (str(error).strip().splitlines() or [""])[0][:200]
        raise UsageError(
            f"--model-file {path}: cannot take pictures of --image-size ({type(error).__name__}: "
            f"{words}); give a size that it was made for"
        ) from error


def _require_logits(path: Path, said: Any, expected: tuple[int | None, ...]) -> None:
    shape = getattr(said, "shape", None)
    if shape is None or tuple(shape) != expected:
        found = "several outputs" if shape is None else tuple(shape)
        raise UsageError(
            f"--model-file {path}: gives {found}, expected {expected}: for each pixel of "
            "--image-size a number for each class of --label-map; add layers that make them, such "
            "as UpSampling2D and Conv2D, or give another label map"
        )
    dtype = keras.backend.standardize_dtype(said.dtype)
    if dtype != "float32":
        raise UsageError(
            f"--model-file {path}: gives {dtype}, expected float32; give its last layer "
            'dtype="float32" and save it again'
        )


def _found(path: Path, model: keras.Model, gives: Gives | Literal["auto"]) -> Gives:
    """Finds out, or confirms, what a model gives, on a picture of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (1, *model.input_shape[1:]))
    said = keras.ops.convert_to_numpy(_said(path, model, noise.astype(np.float32)))
    if not np.isfinite(said).all():
        raise UsageError(
            f"--model-file {path}: what it gives for a picture of noise is not finite, expected "
            "numbers; check --pixel-range, or train it again"
        )
    shares = bool((said >= 0).all() and (said <= 1 + _NEAR_ONE).all())
    probabilities = shares and _sum_to_one(said)
    if gives == "probabilities" and not probabilities:
        raise UsageError(
            f"--model-file {path}: what it gives does not sum to 1 at each pixel, as --gives "
            "probabilities says; leave that out"
        )
    if gives == "auto" and shares and not probabilities:
        raise UsageError(
            f"--model-file {path}: gives numbers of 0 to 1 that do not sum to 1, as a sigmoid "
            "does, expected logits or a softmax; take its last activation away, or say --gives "
            "logits if they are logits all the same"
        )
    if gives != "auto":
        return gives
    return "probabilities" if probabilities else "logits"


def _sum_to_one(said: NDArray[np.float32]) -> bool:
    return bool(np.allclose(said.sum(-1, dtype=np.float64), 1, atol=_NEAR_ONE))
