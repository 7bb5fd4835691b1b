"""Optimisers against their update rules in NumPy, through interruptions and on several devices."""

import json
import subprocess
import sys
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
import tensorflow as tf

from segflow.train.config import TrainConfig
from segflow.train.optimizers import build_optimizer
from segflow.train.schedule_config import ScheduleConfig
from tests.requirements import ROOT

STEPS = 4  # of an epoch
EPOCHS = 5
FACTORS = {"backbone_a": 0.1, "classify": 1.0}

SETTINGS = {
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "momentum": 0.8, "weight_decay": 0.1},
    "clipped": {"optimizer": "adamw", "clip_norm": 0.5},
    "clipped sgd": {"optimizer": "sgd", "clip_norm": 0.5},
    "accumulated": {"optimizer": "adamw", "accumulation": 3},
    "accumulated and clipped": {"optimizer": "sgd", "accumulation": 2, "clip_norm": 0.2},
    "averaged": {"optimizer": "adam", "moving_average": 0.9},
    "accumulated and averaged": {"optimizer": "sgd", "accumulation": 3, "moving_average": 0.9},
    "constant": {"schedule": "constant"},
    "warmed up": {
        "schedule": "polynomial",
        "schedule_options": ScheduleConfig(warmup_epochs=1.5, power=2.0),
    },
    "frozen": {"freeze_backbone_epochs": 2, "fine_tune_learning_rate": 0.01},
    "frozen adamw": {"optimizer": "adamw", "freeze_backbone_epochs": 2, "weight_decay": 0.1},
    "frozen and accumulated": {"freeze_backbone_epochs": 2, "accumulation": 2},
    # 8 frozen batches: the last two make no update.
    "frozen, unevenly accumulated": {
        "freeze_backbone_epochs": 2,
        "accumulation": 3,
        "fine_tune_learning_rate": 0.001,
    },
    "frozen sgd, unevenly accumulated": {
        "optimizer": "sgd",
        "freeze_backbone_epochs": 2,
        "accumulation": 3,
        "fine_tune_learning_rate": 0.001,
        "moving_average": 0.9,
    },
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def make(**settings) -> TrainConfig:
    return TrainConfig("data", "out", **{"learning_rate": 0.05, "epochs": EPOCHS, **settings})


def factor(variable: keras.Variable) -> float:
    return FACTORS[variable.path.split("/")[0]]


def layers() -> list[keras.Layer]:
    keras.utils.set_random_seed(3)
    made = [keras.layers.Dense(2, name=name, bias_initializer="ones") for name in FACTORS]
    for layer in made:
        layer.build((None, 3))
    return made


def draw_gradients() -> list[list[np.ndarray]]:
    """For each step: of kernel and bias of both layers."""
    rng = np.random.default_rng(1)
    shapes = [(3, 2), (2,)] * 2
    return [[rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(STEPS * EPOCHS)]


@dataclass
class Run:
    """An optimiser on two layers, the first of which may be frozen for a while."""

    config: TrainConfig
    steps: int = STEPS
    layers: list[keras.Layer] = field(default_factory=layers)

    def __post_init__(self) -> None:
        self.optimizer = build_optimizer(self.config, self.steps, factor)
        self.optimizer.build(self.variables)

    @property
    def variables(self) -> list[keras.Variable]:
        return [v for layer in self.layers for v in (layer.kernel, layer.bias)]

    def step(self, number: int, gradients: list[np.ndarray]) -> None:
        frozen = STEPS * self.config.freeze_backbone_epochs
        first = 2 if number < frozen else 0
        if frozen and number == frozen:
            self.optimizer.thaw()
        self.optimizer.apply([tf.constant(g) for g in gradients[first:]], self.variables[first:])

    def values(self) -> list[np.ndarray]:
        return [v.numpy().copy() for v in [*self.variables, *self.optimizer.variables]]


def schedule(config: TrainConfig, since: int, per_epoch: float) -> float:
    """The rate of an update of the unfrozen phase, the first of which is 0."""
    rate = config.fine_tune_learning_rate or config.learning_rate
    warmup = config.schedule_options.warmup_epochs * per_epoch
    if since < warmup:
        return rate * (since + 1) / warmup
    t = (since - warmup) / ((EPOCHS - config.freeze_backbone_epochs) * per_epoch - warmup)
    return (
        rate
        * {
            "cosine": (1 + np.cos(np.pi * t)) / 2,
            "polynomial": (1 - t) ** config.schedule_options.power,
            "constant": 1.0,
        }[config.schedule]
    )


def groups(gradients: list[list[np.ndarray]], size: int) -> list[np.ndarray]:
    """Whole groups of batches; what is left over is dropped."""
    starts = range(0, len(gradients) - size + 1, size)
    return [np.array(gradients[i : i + size], dtype=object) for i in starts]


def reference(
    config: TrainConfig, weights: list[np.ndarray], gradients: list[list[np.ndarray]]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The weights after all steps, and their moving average, in float64."""
    k, per_epoch = config.accumulation, STEPS / config.accumulation
    w = [a.astype(np.float64) for a in weights]
    m, v, average = ([np.zeros_like(a) for a in w] for _ in range(3))
    own = [0] * len(w)  # updates of each weight
    boundary = STEPS * config.freeze_backbone_epochs
    phases = [(True, b) for b in groups(gradients[:boundary], k)]
    thawed_at = len(phases)
    phases += [(False, b) for b in groups(gradients[boundary:], k)]
    for update, (frozen, batches) in enumerate(phases):
        g = [batches[:, i].mean(axis=0).astype(np.float64) for i in range(len(w))]
        used = range(2 if frozen else 0, len(w))
        norm = np.sqrt(sum((g[i] ** 2).sum() for i in used))
        shortened = min(1.0, config.clip_norm / norm) if config.clip_norm else 1.0
        for i in used:
            own[i] += 1
            rate = config.learning_rate
            if not frozen:
                rate = schedule(config, update - thawed_at, per_epoch)
            rate *= 0.1 if i < 2 else 1.0
            slope = g[i] * shortened
            if config.optimizer != "adam" and i % 2 == 0:  # kernels
                w[i] -= rate * config.weight_decay * w[i]
            if config.optimizer == "sgd":
                m[i] = config.momentum * m[i] - rate * slope
                w[i] += config.momentum * m[i] - rate * slope
            else:
                m[i] = 0.9 * m[i] + 0.1 * slope
                v[i] = 0.999 * v[i] + 0.001 * slope**2
                unbiased = np.sqrt(1 - 0.999 ** own[i]) / (1 - 0.9 ** own[i])
                w[i] -= rate * unbiased * m[i] / (np.sqrt(v[i]) + 1e-7)
        kept = config.moving_average if config.moving_average and update else 0.0
        average = [kept * a + (1 - kept) * b for a, b in zip(average, w, strict=True)]
    return w, average


@every_setting
def test_updates_are_those_of_the_rules(settings):
    run, gradients = Run(make(**settings)), draw_gradients()
    weights, average = reference(run.config, [v.numpy() for v in run.variables], gradients)
    for number, step in enumerate(gradients):
        run.step(number, step)
    for found, expected in zip(run.variables, weights, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=5e-6)
    if run.config.moving_average:
        run.optimizer.finalize_variable_values(run.variables)
        for found, expected in zip(run.variables, average, strict=True):
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=5e-6)


@every_setting
@pytest.mark.parametrize("cut", [8, 12])
def test_a_resumed_training_goes_on_exactly(settings, cut):
    gradients = draw_gradients()
    whole, first, second = (Run(make(**settings)) for _ in range(3))
    for number, step in enumerate(gradients):
        whole.step(number, step)
    for number, step in enumerate(gradients[:cut]):
        first.step(number, step)
    restored = [*second.variables, *second.optimizer.variables]
    for variable, value in zip(restored, first.values(), strict=True):
        variable.assign(value)
    for number, step in enumerate(gradients[cut:], cut):
        second.step(number, step)
    for a, b in zip(whole.values(), second.values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_averages_are_the_weights_until_the_first_update():
    run = Run(make(moving_average=0.9, accumulation=STEPS))
    before = [v.numpy().copy() for v in run.variables]
    for number, step in enumerate(draw_gradients()[: STEPS - 1]):
        run.step(number, step)
    run.optimizer.finalize_variable_values(run.variables)
    for a, variable in zip(before, run.variables, strict=True):
        np.testing.assert_array_equal(a, variable.numpy())


def test_a_short_gradient_is_not_clipped():
    plain, clipped = Run(make()), Run(make(clip_norm=1000.0))
    for number, step in enumerate(draw_gradients()):
        plain.step(number, step)
        clipped.step(number, step)
    for a, b in zip(plain.variables, clipped.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_accumulated_batches_are_one_larger_batch():
    small, large = Run(make(accumulation=2)), Run(make(batch_size=16), steps=STEPS // 2)
    gradients = draw_gradients()
    for number, step in enumerate(gradients):
        small.step(number, step)
    for pair in zip(gradients[::2], gradients[1::2], strict=True):
        large.step(0, [(a + b) / 2 for a, b in zip(*pair, strict=True)])
    for a, b in zip(small.variables, large.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_neither_biases_nor_norms_decay():
    norm = keras.layers.BatchNormalization()
    norm.build((None, 2))
    dense = layers()[1]
    variables = [dense.kernel, dense.bias, norm.gamma, norm.beta]
    optimizer = build_optimizer(make(optimizer="sgd", weight_decay=0.5), STEPS, lambda v: 1.0)
    before = [v.numpy().copy() for v in variables]
    optimizer.apply([tf.zeros(v.shape) for v in variables], variables)
    changed = [v.name for v, old in zip(variables, before, strict=True) if (v.numpy() != old).any()]
    assert changed == ["kernel"]


def test_one_and_four_devices_update_alike():
    command = [sys.executable, "-m", "tests.unit.train.optimizer_replicas"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name, (one, four) in json.loads(result.stdout).items():
        assert np.ptp(one["kernel"]) > 0
        for key, values in one.items():
            np.testing.assert_allclose(four[key], values, rtol=1e-5, atol=1e-6, err_msg=name)
