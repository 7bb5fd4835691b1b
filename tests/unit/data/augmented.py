"""What the tests of augmentation share: scenes whose image shows the ids, and strategies."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from segflow.data.augment import Augmentation

IGNORED = 255

_SHARES = st.floats(0, 1)

GEOMETRY: dict[str, st.SearchStrategy[Any]] = {
    "crop": st.tuples(_SHARES, _SHARES, st.floats(0.2, 1)).map(
        lambda w: (w[0] * (1 - w[2]), w[1] * (1 - w[2]), w[2])
    ),
    "flip_horizontal": st.booleans(),
    "flip_vertical": st.booleans(),
    "shear": st.floats(-45, 45),
    "rotation": st.floats(-180, 180),
    "zoom": st.floats(0.4, 2.5),
}
COLOUR: dict[str, st.SearchStrategy[Any]] = {
    "brightness": st.floats(0, 2),
    "contrast": st.floats(0, 2),
    "saturation": st.floats(0, 2),
    "hue": st.floats(-180, 180),
    "grey": st.booleans(),
    "blur": st.floats(0, 5),
    "noise": st.floats(0, 50),
    "noise_seed": st.integers(0, 2**32 - 1),
    "jpeg": st.integers(0, 100),
}
CUTOUT = {"cutout": st.tuples(st.floats(-0.5, 1), st.floats(-0.5, 1), st.floats(0, 1))}

augmentations = st.builds(Augmentation, **GEOMETRY, **COLOUR, **CUTOUT)


def scene(height: int = 30, width: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Three ids in lopsided regions, and the same ids as grey values of an image."""
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 3, : width // 2] = 1
    mask[height // 2 :, width // 4 : width // 2] = 2
    return np.repeat((mask * 100)[..., None], 3, axis=2), mask
