"""Optimisers and learning-rate schedules from the settings."""

import keras

from segflow.train.config import TrainConfig


def build_optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    """The optimiser for a training of `steps` steps in all."""
    rate = _learning_rate(config, steps)
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=True)
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    # Decay is for what multiplies features; shifts and scales have no reason to be small.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _learning_rate(
    config: TrainConfig, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    return config.learning_rate
