"""Run in a process of its own, with two logical CPU devices: fits a small model on one and on both.

Prints as JSON, for each, what must not depend on the number of devices.
"""

import json
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segflow.train.config import TrainConfig
from segflow.train.devices import build_strategy
from segflow.train.losses import build_loss
from segflow.train.metrics import ConfusionMatrix


def main() -> None:
    both = build_strategy("cpu:2")  # first: it decides how many devices the process has
    one = build_strategy("cpu:1")
    sys.stdout.write(json.dumps([fit(one), fit(both)]))


def fit(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (16, 8, 12, 3)).astype(np.float32)
    truth = rng.choice([0, 1, 2, 255], (16, 8, 12))
    truth[3], truth[6, :, 1:] = 255, 255  # replicas get unequal numbers of valid pixels
    weights = np.array([0.5, 2.0, 1.0])
    keras.utils.set_random_seed(1)
    with strategy.scope():
        pixels = keras.Input((8, 12, 3))
        x = keras.layers.Rescaling(1 / 127.5, -1.0)(pixels)
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        model = keras.Model(pixels, keras.layers.Conv2D(3, 1)(x))
        metric = ConfusionMatrix(3, 255)
        loss = build_loss(TrainConfig("data", "out", loss="0.7*ce+0.3*dice"), 3, 255, weights)
        model.compile(keras.optimizers.SGD(0.1), loss, metrics=[metric], jit_compile=False)
    history = model.fit(images, truth, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    scores = model.evaluate(images, truth, batch_size=8, return_dict=True, verbose=0)
    return {
        "replicas": strategy.num_replicas_in_sync,
        "history": history,
        "scores": scores,
        "confusion": metric.numpy().tolist(),
        "kernel": model.layers[2].kernel.numpy().ravel().tolist(),
    }


if __name__ == "__main__":
    main()
