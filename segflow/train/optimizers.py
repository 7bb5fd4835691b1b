"""Optimisers from the settings, exact on any number of devices and after any interruption."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from segflow.models.backbones import is_backbone_variable
from segflow.train.config import TrainConfig
from segflow.train.schedules import FROZEN, Schedule

# Decay is for what multiplies features; shifts and scales have no reason to be small.
_NEVER_DECAYED = ("bias", "gamma", "beta")


class _Exact(keras.optimizers.Optimizer):
    """What Keras's optimisers lack, for the front of a class's bases.

    - A rate for each variable: its factor times the schedule's, decay included.
    - Clipping by the norm of the global batch's gradient. Keras clips each replica's share of it,
      so that its result depends on how many there are.
    - Accumulation on several replicas, where Keras's own cannot be used. `iterations`, and so the
      schedule and the moving average, count updates of the weights, not batches.
    - A moving average that is there from the start: the weights, until the first update. Keras's
      is zeros until then.
    - A boundary between two phases, the backbone being frozen in the first.

    All state is in `variables`, equal on all replicas.

    Args:
        rate_factor: Of a variable.
        decay: Share that a step takes off a weight, for each unit of its rate.
        clip: Largest norm of the gradient of all variables together; None for any.
        accumulated: Batches whose mean gradient makes one update.
        thawed_at: See `Schedule`; from here on it is part of the optimiser's state.
        **settings: What Keras's optimiser takes.
    """

    def __init__(
        self,
        rate_factor: Callable[[keras.Variable], float],
        decay: float,
        clip: float | None,
        accumulated: int,
        thawed_at: keras.Variable,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._rate_factor = rate_factor
        self._decay = decay
        self._clip = clip
        self._accumulated = accumulated
        self._thawed_at = thawed_at
        self._track_variable(thawed_at)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the optimiser's variables for all weights that it may be given later."""
        super().build(variables)
        if self.use_ema:
            with tf.init_scope():  # once, also where the step that is being traced builds it
                for average, variable in zip(
                    self._model_variables_moving_average, variables, strict=True
                ):
                    average.assign(variable.value)
        self._factors = [float(self._rate_factor(v)) for v in variables]
        self._decays = [0.0 if v.name in _NEVER_DECAYED else self._decay for v in variables]
        if self._accumulated > 1:
            self._sums = self.add_optimizer_variables(variables, "sum")
            self._batches = self.add_variable(
                (), dtype="int32", aggregation="only_first_replica", name="batches"
            )

    def thaw(self) -> None:
        """Begins the second phase, if it has not begun; call it between steps, in no replica.

        Gradients of the first that have not made an update are dropped: they lack the backbone's.
        """
        if ops.convert_to_numpy(self._thawed_at) != FROZEN:
            return
        self._thawed_at.assign(ops.convert_to_numpy(self.iterations))
        if self._accumulated > 1:
            for variable in [*self._sums, self._batches]:
                variable.assign(ops.zeros_like(variable))

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Changes the weights by a replica's share of the gradient; call it in a replica."""
        variables = list(trainable_variables or self._trainable_variables)
        if not self.built:
            self.build(variables)
        if self._clip is None and self._accumulated == 1:
            super().apply(grads, variables)
            return
        pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        context = tf.distribute.get_replica_context()
        whole = context.all_reduce("SUM", [g for g, _ in pairs])
        variables = [v for _, v in pairs]
        if self._accumulated == 1:
            self._apply_whole(whole, variables)
        else:
            context.merge_call(self._accumulate, args=(whole, variables))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Changes one variable by the whole gradient."""
        index = self._get_variable_index(variable)
        rate = self._factors[index] * ops.cast(learning_rate, variable.dtype)
        if self._decays[index]:
            self.assign_sub(variable, variable * (self._decays[index] * rate))
        super().update_step(gradient, variable, rate * self._correction(index))

    def _correction(self, index: int) -> Any:
        """A factor of the rate besides, after decay."""
        return 1.0

    def _accumulate(
        self, strategy: tf.distribute.Strategy, gradients: Any, variables: Sequence[keras.Variable]
    ) -> None:
        """Adds a batch's gradient, and applies the mean when there are enough; in no replica."""
        sums = [self._sums[self._get_variable_index(v)].value for v in variables]
        for total, gradient in zip(sums, gradients, strict=True):
            strategy.extended.update(total, _add, args=(gradient,), group=False)
        self._batches.assign_add(1)

        def update_replica() -> None:
            self._apply_whole([total / self._accumulated for total in sums], variables)

        def update() -> None:
            strategy.extended.call_for_each_replica(update_replica)
            for total in sums:
                strategy.extended.update(total, _empty, group=False)

        # A replica may not synchronise within a condition of its own, as `apply` does; so the
        # condition is asked once for all of them.
        tf.cond(
            tf.equal(self._batches.value % self._accumulated, 0),
            update,
            lambda: None,
        )

    def _apply_whole(self, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
        """Clips and applies a gradient that each replica has whole."""
        if self._clip is not None:
            gradients, _ = tf.clip_by_global_norm(list(gradients), self._clip)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        super().apply([g / replicas for g in gradients], variables)  # Keras adds them up


def _add(total: Any, gradient: Any) -> None:
    total.assign_add(gradient)


def _empty(total: Any) -> None:
    total.assign(tf.zeros_like(total))


class SGD(_Exact, keras.optimizers.SGD):
    """Stochastic gradient descent, with decoupled decay (SGDW)."""


class Adam(_Exact, keras.optimizers.Adam):
    """Adam, and with decay AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101).

    Args:
        is_late: Whether a variable is left alone until the thaw. Its own moments begin then, and
            so must the correction of their bias: else its first steps would be several times too
            long.
        **settings: Those of the base classes.
    """

    def __init__(self, is_late: Callable[[keras.Variable], bool], **settings: Any) -> None:
        super().__init__(**settings)
        self._is_late = is_late

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Notes besides which variables start late."""
        super().build(variables)
        self._late = [self._is_late(v) for v in variables]

    def _correction(self, index: int) -> Any:
        if not self._late[index]:
            return 1.0
        update = ops.cast(self.iterations + 1, "float32")
        own = update - ops.cast(self._thawed_at, "float32")
        return self._bias(own) / self._bias(update)

    def _bias(self, update: Any) -> Any:
        """What Adam multiplies the rate by at an update, counted from 1."""
        return ops.sqrt(1.0 - self.beta_2**update) / (1.0 - self.beta_1**update)


def build_optimizer(
    config: TrainConfig,
    steps_per_epoch: int,
    rate_factor: Callable[[keras.Variable], float],
) -> keras.optimizers.Optimizer:
    """The optimiser of a training; call it in the strategy's scope.

    Args:
        config: The training.
        steps_per_epoch: Batches of an epoch.
        rate_factor: What the learning rate of a variable is multiplied by.
    """
    freezes = config.freeze_backbone_epochs > 0
    thawed_at = keras.Variable(
        FROZEN if freezes else 0,
        dtype="int64",
        trainable=False,
        aggregation="only_first_replica",
        name="thawed_at",
    )
    settings: dict[str, Any] = {
        "learning_rate": Schedule(config, steps_per_epoch / config.accumulation, thawed_at),
        "rate_factor": rate_factor,
        "decay": 0.0 if config.optimizer == "adam" else config.weight_decay,
        "clip": config.clip_norm,
        "accumulated": config.accumulation,
        "thawed_at": thawed_at,
        "use_ema": config.moving_average is not None,
        "ema_momentum": config.moving_average or 0.0,
    }
    if config.optimizer == "sgd":
        return SGD(momentum=config.momentum, nesterov=True, **settings)
    return Adam(is_late=lambda v: freezes and is_backbone_variable(v), **settings)
