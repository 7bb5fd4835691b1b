"""Run in a process of its own, with four logical CPU devices: every loss on 1, 2 and 4 of them.

Prints as JSON, for each number of devices and each loss, what must not depend on that number.
"""

import json
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segflow.train.config import TrainConfig
from segflow.train.devices import build_strategy
from segflow.train.loss_config import LOSS_NAMES
from segflow.train.losses import build_loss
from segflow.train.metrics import ConfusionMatrix

SHAPE = (6, 7)


def main() -> None:
    strategies = [build_strategy(f"cpu:{n}") for n in (4, 2, 1)]  # 4 first: it makes the devices
    found = {s.num_replicas_in_sync: {n: measure(s, n) for n in LOSS_NAMES} for s in strategies}
    sys.stdout.write(json.dumps(found))


def measure(strategy: tf.distribute.Strategy, name: str) -> dict[str, Any]:
    """Value and gradient of a full batch and of one filled up, and the metric over both."""
    with strategy.scope():
        keras.utils.set_random_seed(1)
        layer = keras.layers.Conv2D(3, 3, padding="same")
        layer.build((None, *SHAPE, 3))
        metric = ConfusionMatrix(3, 255)
    weights = np.array([0.5, 2.0, 1.0])
    loss = build_loss(TrainConfig("data", "out", loss=name), 3, 255, weights)

    @tf.function
    def step(batch: tuple[Any, ...]) -> Any:
        def replica(images: Any, truth: Any, weight: Any) -> Any:
            with tf.GradientTape() as tape:
                logits = layer(images)
                value = loss(truth, logits, weight)
            metric.update_state(truth, logits, weight)
            return value, tape.gradient(value, layer.kernel.value)

        return strategy.run(replica, batch)

    found = {}
    for kind, used in (("full", 8), ("filled up", 5)):
        [batch] = strategy.experimental_distribute_dataset(batches(used))
        # Each replica has its share of the whole; an optimiser adds up the shares too.
        results = [sum(strategy.experimental_local_results(share)) for share in step(batch)]
        found[kind] = [np.ravel(r).tolist() for r in results]
    return {**found, "confusion": metric.numpy().ravel().tolist()}


def batches(used: int) -> tf.data.Dataset:
    """One batch of 8 images, `used` of them real and the others wholly ignored, of weight 0."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, *SHAPE, 3)).astype(np.float32)
    truth = rng.choice([0, 1, 2, 255], (8, *SHAPE))
    truth[1], truth[3, :, 1:], truth[used:] = 255, 255, 255  # unequal numbers of valid pixels
    weight = np.where(np.arange(8) < used, 8 / used, 0).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((images, truth, weight)).batch(8)


if __name__ == "__main__":
    main()
