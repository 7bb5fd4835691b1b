"""What the tests of several architectures share."""

import keras
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


def pixels(size: tuple[int, int], batch: int = 1, seed: int = 0) -> Pixels:
    """Random pixels [batch, *size, 3]."""
    return np.random.default_rng(seed).uniform(0, 255, (batch, *size, 3)).astype(np.float32)


def shapes(size: tuple[int, int], count: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Noisy pictures, and masks of a floor (1) and a disc (2) on a ground (0)."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices(size)
    masks = np.zeros((count, *size), np.int64)
    for index, mask in enumerate(masks):
        mask[rows > size[0] * (0.55 + 0.1 * index)] = 1
        center = size[0] * (0.25 + 0.05 * index), size[1] * (0.3 + 0.1 * index)
        mask[np.hypot(rows - center[0], columns - center[1]) < min(size) / 5] = 2
    colors = np.array([[60, 90, 160], [170, 140, 60], [200, 60, 90]])
    images = colors[masks] + rng.normal(0, 12, (count, *size, 3))
    return images.clip(0, 255).astype(np.float32), masks


def mean_iou(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    """Mean over the classes of intersection / union."""
    scores = []
    for c in range(classes):
        one, other = truth == c, predicted == c
        scores.append((one & other).sum() / (one | other).sum())
    return float(np.mean(scores))


def settle(model: keras.Model, images: Pixels) -> None:
    """Gives batch normalisation the statistics of `images`.

    Fresh ones would let the features of a deep network fade to nothing, and any two of them
    would be equal within every tolerance.
    """
    momenta = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            momenta[layer], layer.momentum = layer.momentum, 0.0
    model(images, training=True)
    for layer, momentum in momenta.items():
        layer.momentum = momentum
