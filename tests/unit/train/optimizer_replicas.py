"""Run in a process of its own, with four logical CPU devices: optimisers on one and on all.

Prints as JSON, for each setting and number of devices, what must not depend on that number.
"""

import json
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segflow.train.config import TrainConfig
from segflow.train.devices import build_strategy
from segflow.train.optimizers import build_optimizer
from segflow.train.transfer import FreezeBackbone

SETTINGS: dict[str, dict[str, Any]] = {
    "all": {
        "optimizer": "adamw",
        "clip_norm": 0.1,
        "accumulation": 3,
        "moving_average": 0.9,
        "freeze_backbone_epochs": 1,
    },
    "clipped": {"optimizer": "sgd", "clip_norm": 0.1},
}


def main() -> None:
    four = build_strategy("cpu:4")  # first: it decides how many devices the process has
    one = build_strategy("cpu:1")
    found = {name: [fit(s, set_) for s in (one, four)] for name, set_ in SETTINGS.items()}
    sys.stdout.write(json.dumps(found))


def fit(strategy: tf.distribute.Strategy, settings: dict[str, Any]) -> dict[str, Any]:
    """Fits a model to images whose gradients differ much in length."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 4)).astype(np.float32) * np.linspace(0.1, 3, 16)[:, None]
    config = TrainConfig("data", "out", learning_rate=0.1, epochs=2, **settings)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        layers = [keras.layers.Dense(3, name="backbone_a"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        optimizer = build_optimizer(config, 4, lambda v: 0.5 if v.shape[0] == 4 else 1.0)
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, "mse", jit_compile=False)
        callbacks = [FreezeBackbone(config.freeze_backbone_epochs)]
        options = {"epochs": 2, "callbacks": callbacks, "shuffle": False, "verbose": 0}
        model.fit(x, x.sum(1), batch_size=4, **options)
    return {
        "kernel": layers[0].kernel.numpy().ravel().tolist(),
        "state": [float(np.sum(np.abs(v.numpy()))) for v in optimizer.variables],
    }


if __name__ == "__main__":
    main()
