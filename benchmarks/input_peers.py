"""What users feed Keras with today: the peers of segflow's training input.

Both read the files of a folder, as their users do, and augment alike: a flip, and an affine
change of rotation and magnification, bilinear for images and nearest for masks. Pillow decodes.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pair = tuple[Path, Path]
Batch = tuple[NDArray[np.float32], NDArray[Any]]

_ROTATION = 10.0  # degrees, the largest
_ZOOM = (0.8, 1.25)


class PairSequence(keras.utils.PyDataset):
    """A `keras.utils.PyDataset` as the Keras guides write it: `__getitem__` reads one batch.

    Args:
        pairs: Image and mask files.
        size: (height, width) of the stored pictures, which are not resized.
        batch_size: Pairs a batch.
        options: Of `PyDataset`: workers, max_queue_size, …
    """

    def __init__(
        self, pairs: Sequence[Pair], size: tuple[int, int], batch_size: int, **options: Any
    ) -> None:
        super().__init__(**options)
        self._pairs, self._size, self._batch_size = pairs, size, batch_size

    def __len__(self) -> int:
        return len(self._pairs) // self._batch_size

    def __getitem__(self, index: int) -> Batch:
        start = index * self._batch_size
        rng = np.random.default_rng(index)
        images, masks = zip(
            *(_augmented(p, rng) for p in self._pairs[start : start + self._batch_size]),
            strict=True,
        )
        return np.stack(images), np.stack(masks)


def file_generator(
    pairs: Sequence[Pair], size: tuple[int, int], batch_size: int, classes: int
) -> Iterator[Batch]:
    """Batches for ever, the way image-segmentation-keras makes them: one thread, file by file.

    Each image and mask is read and resized anew in every epoch, and the mask becomes one float a
    class and pixel.
    """
    endless = itertools.cycle(pairs)
    rng = np.random.default_rng(0)
    while True:
        batch = [_augmented(next(endless), rng, size) for _ in range(batch_size)]
        one_hot = np.stack([np.eye(classes)[mask.clip(0, classes - 1)] for _, mask in batch])
        yield (
            np.stack([image for image, _ in batch]),
            one_hot.reshape(batch_size, size[0] * size[1], classes),
        )


def _augmented(
    pair: Pair, rng: np.random.Generator, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    with Image.open(pair[0]) as file:
        image = file.convert("RGB")
    with Image.open(pair[1]) as file:
        mask = file.copy()
    if size is not None:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        mask = mask.resize(size[::-1], Image.Resampling.NEAREST)
    matrix = _affine(image.size, rng)
    image = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    mask = mask.transform(
        mask.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=255
    )
    return np.asarray(image, np.float32), np.asarray(mask, np.int32)


def _affine(size: tuple[int, int], rng: np.random.Generator) -> tuple[float, ...]:
    angle = math.radians(rng.uniform(-_ROTATION, _ROTATION))
    scale = math.exp(-rng.uniform(*map(math.log, _ZOOM)))
    flip = rng.choice([-1, 1])
    a, b = math.cos(angle) * scale, math.sin(angle) * scale
    x, y = size[0] / 2, size[1] / 2
    return (a * flip, -b, x - a * flip * x + b * y, b * flip, a, y - b * flip * x - a * y)
