"""Callbacks that change what the validation sees: statistics and weights, averaged."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from segflow.train.checkpoint import Arrays
from segflow.train.variables import read_variables, write_variables


class AverageMovingStatistics(keras.callbacks.Callback):
    """Makes the replicas' moving statistics equal before they are used or stored.

    Keras lets each replica of a `MirroredStrategy` move its own batch-norm statistics, and reads
    the first's. Their mean is what a checkpoint must hold for a resumed training to be exact.
    """

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Averages over the replicas."""
        for variable in self.model.non_trainable_variables:
            replicas = tf.distribute.get_strategy().experimental_local_results(variable.value)
            if variable.dtype.startswith("float") and len(replicas) > 1:
                variable.assign(tf.add_n([r.read_value() for r in replicas]) / len(replicas))


class ValidateAverage(keras.callbacks.Callback):
    """Lets the validation use the moving average of the weights that the optimiser keeps.

    Keras's `SwapEMAWeights` swaps by adding and subtracting, so that the weights come back
    rounded; here they come back as they were. What reads the averaged weights at a validation's
    end must come before this.

    Args:
        variables: All that the optimiser was built for, in that order, frozen ones included.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        super().__init__()
        self._variables = list(variables)
        self._weights: Arrays = []

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Puts the average in place of the weights."""
        self._weights = read_variables(self._variables)
        self.model.optimizer.finalize_variable_values(self._variables)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Puts the weights back."""
        write_variables(self._variables, self._weights)
