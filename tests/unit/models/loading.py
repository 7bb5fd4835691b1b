"""Run in a process of its own: loads models with Keras alone and compares what they return.

`python loading.py FOLDER TOLERANCE NAME…` runs each FOLDER/NAME.keras on FOLDER/NAME.npz and writes
a line for each that does not give the logits stored there.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np


def main(folder: Path, tolerance: float, names: Sequence[str]) -> None:
    assert "segflow" not in sys.modules
    for name in names:
        stored = np.load(folder / f"{name}.npz")
        model = keras.models.load_model(folder / f"{name}.keras")
        found = _logits(model, stored["pixels"])
        difference = np.abs(found - stored["logits"]).max()
        if not difference <= tolerance * np.abs(stored["logits"]).max():
            sys.stdout.write(f"{name}: differs by {difference}\n")
    sys.stdout.write(f"backend {keras.backend.backend()}, {len(names)} models\n")


def _logits(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    if keras.backend.backend() != "jax":
        return keras.ops.convert_to_numpy(model(pixels, training=False))
    model.compile(jit_compile=True)  # JAX would compile each operation on its own
    return model.predict(pixels, verbose=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
