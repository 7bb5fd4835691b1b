"""What ends a training that has gone wrong."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from segflow.errors import JobError

_REMEDY = "lower --learning-rate and train into a new folder"


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends the training with a `JobError` at the first loss or gradient that is not finite.

    The `TrainingModel` has left its weights as they were before that batch. This must come before
    what stores the epoch.

    Args:
        examples: The keys of the examples of a batch, by epoch and batch, both from 0.
    """

    def __init__(self, examples: Callable[[int, int], Sequence[str]]) -> None:
        super().__init__()
        self._examples = examples
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Looks at what the step has found."""
        if self.model.fault is not None:
            keys = ", ".join(self._examples(self._epoch, batch))
            raise JobError(
                f"the {self.model.fault} is not finite in epoch {self._epoch + 1}, batch "
                f"{batch + 1}, of the examples {keys}; the weights are as they were before. Look "
                f"at these examples, or {_REMEDY}"
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Looks at the validation, which may find weights that have grown too large."""
        if logs is not None and not math.isfinite(float(logs["val_loss"])):
            raise JobError(
                f"the validation loss is {float(logs['val_loss'])} after epoch {epoch + 1}; "
                f"{_REMEDY}"
            )
