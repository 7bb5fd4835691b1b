"""The model that is trained: Keras's own step, with a guard before the weights are changed.

It is used for `fit` alone; what a bundle stores is a plain functional model of the same layers.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf


class TrainingModel(keras.Model):
    """A functional model whose steps change nothing unless loss and gradient are finite.

    Where they are not, on any replica, no replica applies its gradient, and what the forward pass
    has moved already (batch norm's statistics, random states) is put back. Loss scaling for
    float16 is the exception: it tries gradients that overflow now and then, and skips them
    itself; so there a gradient counts as non-finite only once the scale is down to 1.

    Make it as a functional model, in the strategy's scope: `TrainingModel(inputs, outputs)`.

    Attributes:
        input_wait: Seconds that the steps so far have waited for their batches.
        fault: What was not finite in the last step, "loss" or "gradient"; None if all was.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.input_wait = 0.0
        self.fault: str | None = None
        self.train_function: Any = None
        self._watched: Callable[[Iterator[Any]], dict[str, Any]] | None = None

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of one replica: (images, masks) to the metrics, and `faults` for each check."""
        images, masks = data
        before = [tf.identity(v.value) for v in self.non_trainable_variables]
        with tf.GradientTape() as tape:
            logits = self(images, training=True)
            loss = self.compute_loss(images, masks, logits)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [v.value for v in self.trainable_variables])
        faults = self._faults(loss, gradients)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            gradients, faults = self._left_to_loss_scaling(gradients, faults)
        self._apply_unless(tf.reduce_any(faults > 0), gradients, before)
        # A replica's loss is its share of the global batch's.
        mean_loss = loss * self.distribute_strategy.num_replicas_in_sync
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(mean_loss, sample_weight=tf.shape(images)[0])
        return {**self.compute_metrics(images, masks, logits), "faults": faults}

    def make_train_function(self, force: bool = False) -> None:
        """Builds Keras's function of a step, and keeps watch over it from outside the graph."""
        if self._watched is not None and not force:
            return
        super().make_train_function(force=True)
        step: Any = self.train_function

        def watched(batches: Iterator[Any]) -> dict[str, Any]:
            began = time.monotonic()
            batch = next(batches)
            self.input_wait += time.monotonic() - began
            logs = step(iter((batch,)))
            # This waits for the step, but so does Keras right after, to give the callbacks its logs
            # as numbers. One step late, a fault would be found when the next step is done already.
            loss_faults, gradient_faults = logs.pop("faults").numpy()
            self.fault = "loss" if loss_faults else "gradient" if gradient_faults else None
            return dict(logs)

        self.train_function = self._watched = watched

    def _faults(self, loss: Any, gradients: Sequence[Any]) -> Any:
        """On how many replicas the loss, and the gradient, are not finite: float32 [2]."""
        finite = tf.math.is_finite(tf.stack([loss, tf.linalg.global_norm(gradients)]))
        faults = tf.cast(tf.logical_not(finite), tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", faults)

    def _left_to_loss_scaling(self, gradients: Sequence[Any], faults: Any) -> tuple[Any, Any]:
        """Lets the optimiser skip a gradient that overflows, until the scale is down to 1.

        It looks at the first replica's gradient alone, so an overflow elsewhere is shown there.
        """
        overflow = tf.where(faults[1] > 0, float("nan"), 0.0)
        hopeless = tf.cast(self.optimizer.dynamic_scale.value <= 1.0, tf.float32)
        first = next(i for i, gradient in enumerate(gradients) if gradient is not None)
        marked = [g + overflow if i == first else g for i, g in enumerate(gradients)]
        return marked, faults * tf.stack([1.0, hopeless])

    def _apply_unless(self, faulty: Any, gradients: Sequence[Any], before: Sequence[Any]) -> None:
        """Applies the gradients, or puts back what the forward pass has changed."""
        trainable, other = self.trainable_variables, self.non_trainable_variables

        def put_back(values: Sequence[Any]) -> None:
            for variable, value in zip(other, values, strict=True):
                variable.assign(value)

        def on_all_replicas(
            strategy: tf.distribute.Strategy, faulty: Any, gradients: Any, before: Any
        ) -> None:
            run = strategy.extended.call_for_each_replica
            tf.cond(
                strategy.experimental_local_results(faulty)[0],
                lambda: run(put_back, args=(before,)),
                lambda: run(self.optimizer.apply, args=(gradients, trainable)),
            )

        # As in Keras's loss scaling: a replica may not synchronise within a condition of its
        # own, as `apply` does; so the condition is asked once for all of them.
        tf.distribute.get_replica_context().merge_call(
            on_all_replicas, args=(faulty, gradients, before)
        )
