"""How the learning rate goes on during a training."""

import math
from typing import Any

import keras
from keras import ops

from segflow.train.config import TrainConfig

FROZEN = -1
"""Value of `Schedule`'s `thawed_at` as long as the backbone is frozen."""


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at each update, a function of its number and of when the backbone thawed.

    As long as the backbone is frozen it is `config.learning_rate`. Then it starts from
    `config.fine_tune_learning_rate`, or from the same rate if there is none: it rises linearly
    over the warm-up, whose first update has one share of it and whose last all, and after that it
    is, with t from 0 to 1 over what is left of the training,

        constant     rate
        step         rate * factor^(number of whole steps since then)
        polynomial   rate * (1 - t)^power
        cosine       rate * (1 + cos(pi t)) / 2

    Args:
        config: The training.
        updates_per_epoch: How often the weights change in an epoch; need not be whole.
        thawed_at: Integer []; how many updates were made before the backbone thawed, or `FROZEN`.
            It cannot be computed from the epochs: updates may be skipped, and batches left over.
    """

    def __init__(
        self, config: TrainConfig, updates_per_epoch: float, thawed_at: keras.Variable
    ) -> None:
        self._config = config
        self._options = config.schedule_options
        self._per_epoch = updates_per_epoch
        self._thawed_at = thawed_at
        self._warmup = self._options.warmup_epochs * updates_per_epoch
        left = (config.epochs - config.freeze_backbone_epochs) * updates_per_epoch - self._warmup
        self._decay = left or 1.0  # frozen to the end: no update is left, but the rate is asked for

    def __call__(self, step: Any) -> Any:
        """The rate, float32 [], of the update after `step` others."""
        config = self._config
        since = ops.cast(step - self._thawed_at, "float32")
        rate = config.fine_tune_learning_rate or config.learning_rate
        rising = (since + 1.0) / max(self._warmup, 1.0)
        share = ops.where(since < self._warmup, ops.minimum(rising, 1.0), self._shape(since))
        return ops.where(self._thawed_at < 0, config.learning_rate, rate * share)

    def _shape(self, since: Any) -> Any:
        """The share of the full rate, `since` updates after the thaw."""
        if self._config.schedule == "step":
            steps = ops.floor(since / (self._options.step_epochs * self._per_epoch))
            return ops.power(self._options.step_factor, ops.maximum(steps, 0.0))
        left = 1.0 - ops.clip((since - self._warmup) / self._decay, 0.0, 1.0)
        if self._config.schedule == "polynomial":
            return ops.power(left, self._options.power)
        if self._config.schedule == "cosine":
            return (1.0 - ops.cos(math.pi * left)) / 2.0
        return ops.ones_like(left)
