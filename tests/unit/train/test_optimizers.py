"""Optimisers and schedules from the settings."""

import keras
import pytest

from segflow.train.config import TrainConfig
from segflow.train.optimizers import build_optimizer


def config(**settings: object) -> TrainConfig:
    return TrainConfig("data", "out", learning_rate=0.01, **settings)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
        ("sgd", keras.optimizers.SGD),
    ],
)
def test_each_name_is_its_optimiser(name, kind):
    optimizer = build_optimizer(config(optimizer=name, momentum=0.8, weight_decay=0.1), 10)
    assert type(optimizer) is kind
    if name == "sgd":
        assert (optimizer.momentum, optimizer.nesterov) == (0.8, True)


def test_adamw_decays_kernels_but_neither_biases_nor_norms():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2), keras.layers.BatchNormalization()]
    )
    optimizer = build_optimizer(config(optimizer="adamw", weight_decay=0.5), 10)
    optimizer.build(model.trainable_variables)
    decayed = [v.name for v in model.trainable_variables if optimizer._use_weight_decay(v)]
    assert decayed == ["kernel"]


@pytest.mark.parametrize(
    ("schedule", "rates"), [("constant", [0.01, 0.01, 0.01]), ("cosine", [0.01, 0.005, 0.0])]
)
def test_the_learning_rate_over_the_steps(schedule, rates):
    optimizer = build_optimizer(config(schedule=schedule), 10)
    found = []
    for step in (0, 5, 10):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    assert found == pytest.approx(rates, abs=1e-8)
