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
from segflow.train.precision import synchronized
from segflow.train.steps import TrainingModel

IMAGES, SIZE = 16, (8, 12)


def main() -> None:
    both = build_strategy("cpu:2")  # first: it decides how many devices the process has
    one = build_strategy("cpu:1")
    results = {
        name: [function(strategy) for strategy in (one, both)]
        for name, function in (("fit", fit), ("normalised", normalised), ("spoilt", spoilt))
    }
    sys.stdout.write(json.dumps(results))


def fit(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Two epochs without batch norm; the replicas get unequal numbers of valid pixels."""
    images, truth = _data()
    truth[3], truth[6, :, 1:] = 255, 255
    with strategy.scope():
        model, metric = _compiled(keras.optimizers.SGD(0.1), batch_norm=False)
    history = model.fit(images, truth, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    scores = model.evaluate(images, truth, batch_size=8, return_dict=True, verbose=0)
    return {
        "replicas": strategy.num_replicas_in_sync,
        "history": history,
        "scores": scores,
        "confusion": metric.numpy().tolist(),
        "weights": _weights(model),
    }


def normalised(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """One step with synchronised batch norm; at a rate of 1, the weights show the gradient."""
    images, truth = _data()
    images[:2] += 200.0  # the replicas' halves have other means
    with strategy.scope():
        model, _ = _compiled(keras.optimizers.SGD(1.0), batch_norm=True)
    before = _weights(model)
    history = model.fit(images, truth, batch_size=4, steps_per_epoch=1, shuffle=False, verbose=0)
    return {"loss": history.history["loss"], "before": before, "weights": _weights(model)}


def spoilt(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Steps whose last example, so the last replica alone, has a loss, or a gradient, of nan."""
    with strategy.scope():
        plain, _ = _compiled(keras.optimizers.Adam(0.1), batch_norm=True)
        scaled, _ = _compiled(
            keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)), batch_norm=True
        )
    cases = {
        "loss": (plain, np.nan),
        "gradient": (plain, -1.0),  # see `_compiled`
        "scaled gradient": (scaled, -1.0),
    }
    found = {}
    for name, (model, value) in cases.items():
        images, truth = _data()
        model.fit(images, truth, batch_size=4, steps_per_epoch=2, shuffle=False, verbose=0)
        states = [_state(model)]
        images[3] = value
        model.fit(images, truth, batch_size=4, steps_per_epoch=1, shuffle=False, verbose=0)
        found[name] = {"fault": model.fault, "states": [*states, _state(model)]}
    return found


def _data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (IMAGES, *SIZE, 3)).astype(np.float32)
    return images, rng.choice([0, 1, 2, 255], (IMAGES, *SIZE))


def _compiled(
    optimizer: keras.optimizers.Optimizer, batch_norm: bool
) -> tuple[TrainingModel, ConfusionMatrix]:
    """A model with a finite loss but no finite gradient where an image is -1: a root at 0."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((*SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(pixels)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    if batch_norm:
        x = keras.layers.BatchNormalization()(x)
    root = keras.ops.sqrt(keras.ops.abs(keras.layers.Conv2D(3, 1, use_bias=False)(pixels + 1.0)))
    plain = keras.Model(pixels, keras.layers.Conv2D(3, 1)(x) + 0.01 * root)
    if batch_norm:
        plain = synchronized(plain)
    model, metric = TrainingModel(plain.inputs, plain.outputs[0]), ConfusionMatrix(3, 255)
    weights = np.array([0.5, 2.0, 1.0])
    loss = build_loss(TrainConfig("data", "out", loss="0.7*ce+0.3*dice"), 3, 255, weights)
    model.compile(optimizer, loss, metrics=[metric], jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model, metric


def _state(model: TrainingModel) -> dict[str, list[Any]]:
    """Each variable's values, on every replica."""
    strategy, variables = model.distribute_strategy, [*model.variables, *model.optimizer.variables]
    return {
        v.path: [r.numpy().tolist() for r in strategy.experimental_local_results(v.value)]
        for v in variables
    }


def _weights(model: TrainingModel) -> list[Any]:
    return [v.numpy().tolist() for v in model.variables]


if __name__ == "__main__":
    main()
