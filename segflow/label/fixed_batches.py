"""A model asked about pictures in batches of one shape, smaller ones where memory runs out."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from segflow.errors import JobError
from segflow.label.threads import for_threads

# Pictures, uint8 [n, height, width, 3], to tensors with n first, too.
Forward = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


class FixedBatches:
    """Asks a model about any number of pictures, a fixed number of them at once.

    One graph is traced, for one shape; a short batch is padded. Where the device has no memory
    for a batch, that shape is halved for good and the batch done again in parts. Several threads
    may ask at once.

    Args:
        forward: The model.
        batch_size: Pictures at once, to begin with.
        size: (height, width) of a picture, in pixels.
        name: What messages call the model.
    """

    def __init__(self, forward: Forward, batch_size: int, size: tuple[int, int], name: str) -> None:
        self._forward, self._size, self._name = forward, size, name
        self._lock = threading.Lock()
        # Replaced as one, so that a thread never pairs one shape with the graph of another.
        self._current = batch_size, self._trace(batch_size)

    def __call__(
        self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    ) -> Iterator[list[NDArray[Any]]]:
        """What the model says of pictures, in order, a batch after another.

        Args:
            pictures: uint8 [height, width, 3] each, of the model's size.

        Yields:
            What its tensors hold for the next pictures, in the machine's own memory; no padding.

        Raises:
            JobError: There is no memory for one picture alone.
        """
        done = 0
        while done < len(pictures):
            batch_size, ask = self._current
            some = pictures[done : done + batch_size]
            try:
                # Copied here: nothing later allocates on the device, beyond the reach of halving.
                said = [each.numpy() for each in ask(self._padded(some, batch_size))]
            except tf.errors.ResourceExhaustedError as error:
                self._halve(batch_size, error)
                continue
            yield [each[: len(some)] for each in said]
            done += len(some)

    def _padded(
        self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], batch_size: int
    ) -> tf.Tensor:
        batch = np.zeros((batch_size, *self._size, 3), np.uint8)
        batch[: len(pictures)] = pictures
        return tf.constant(batch)

    def _halve(self, batch_size: int, error: Exception) -> None:
        with self._lock:
            if self._current[0] != batch_size:
                return  # another thread was first
            if batch_size == 1:
                height, width = self._size
                raise JobError(
                    f"model {self._name}: the device has no memory for one picture of "
                    f"{height}x{width}; let nothing else run on it, give --worker-threads 1, or "
                    "use a smaller model"
                ) from error
            smaller = batch_size // 2
            self._current = smaller, self._trace(smaller)
        logging.getLogger(__name__).warning(
            "model %s: no memory for %d pictures at once, %d from now on",
            *(self._name, batch_size, smaller),
        )

    def _trace(self, batch_size: int) -> Forward:
        # XLA, which Keras turns on by default, is slower here on CPUs; so a plain graph.
        return for_threads(self._forward, tf.TensorSpec([batch_size, *self._size, 3], tf.uint8))
