"""What each loss costs: value and gradient of a batch, as a training step computes them.

    python -m benchmarks.losses --size 256 --classes 12 --batch 8

Prints the median of several steps for each loss.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.machine import origin
from segflow.train.config import TrainConfig
from segflow.train.loss_config import LOSS_NAMES
from segflow.train.losses import build_loss

_REPEATS = 5


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels")
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8, help="images")
    arguments = parser.parse_args()
    truth, logits = draw(arguments.batch, arguments.size, arguments.classes)
    print(origin())
    print(f"{arguments.batch} images of {arguments.size}², {arguments.classes} classes")
    for name in LOSS_NAMES:
        loss = build_loss(TrainConfig("data", "out", loss=name), arguments.classes, 255)
        print(f"{name:<18}{1000 * seconds(step(loss), truth, logits):8.1f} ms")


def draw(batch: int, size: int, classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids in square regions, int32 [b, h, w], and float32 logits [b, h, w, n]."""
    rng = np.random.default_rng(0)
    cells = -(-size // 32)
    regions = rng.integers(0, classes, (batch, cells, cells))
    truth = regions.repeat(32, axis=1).repeat(32, axis=2)[:, :size, :size]
    logits = rng.normal(0, 3, (batch, size, size, classes))
    return tf.constant(truth, tf.int32), tf.constant(logits, tf.float32)


def step(loss: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """The gradient with respect to the logits, as a graph."""

    @tf.function
    def gradient(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(truth, logits)
        return tape.gradient(value, logits)

    return gradient


def seconds(function: Callable[..., tf.Tensor], *arguments: tf.Tensor) -> float:
    """Median time of a call, the first, which builds the graph, left out."""
    function(*arguments)
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        function(*arguments).numpy()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
