"""The history of a training: its clock, its checkpoints, and when it stops."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from segflow import scores, storage
from segflow.train import checkpoint
from segflow.train.config import TrainConfig
from segflow.train.metrics import ConfusionMatrix
from segflow.train.output import STATE_FOLDER
from segflow.train.state import EpochRow, TrainingState
from segflow.train.tracking import Tracker
from segflow.train.variables import read_variables


class EpochRecorder(keras.callbacks.Callback):
    """Keeps the history, stores a checkpoint at each epoch's end, and decides when to stop.

    Args:
        config: When to stop.
        metric: The compiled metric; after validation it holds the validation's counts.
        start: What the training goes on from, or a state without epochs.
        best_weights: The weights of its best epoch; None without one.
    """

    def __init__(
        self,
        config: TrainConfig,
        metric: ConfusionMatrix,
        start: TrainingState,
        best_weights: checkpoint.Arrays | None,
    ) -> None:
        super().__init__()
        self.state = start
        self.best_weights: checkpoint.Arrays = best_weights or []
        self._config = config
        self._metric = metric
        self._output = Path(config.output)
        self._seconds_before = start.seconds
        self._began = self._epoch_began = self._steps_ended = 0.0
        self._steps = 0
        self._waited = 0.0
        self._validated: checkpoint.Arrays = []

    @property
    def seconds(self) -> float:
        """Time of all epochs so far, those before a resumption included."""
        return self._seconds_before + time.monotonic() - self._began

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the training's clock."""
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the epoch's clock."""
        self._epoch_began, self._steps = time.monotonic(), 0
        self._waited = self.model.input_wait

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the epoch early when the time is up; it is still validated and stored."""
        self._steps, self._steps_ended = batch + 1, time.monotonic()
        if self._time_is_up():
            self.model.stop_training = True

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Keeps the weights that were validated: at the epoch's end others may be in place."""
        self._validated = read_variables(self.model.variables)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Adds the epoch to the history and stores everything."""
        state = self.state.with_row(self._row(epoch + 1, logs or {}))
        if state.best_epoch == state.epochs_done:
            self.best_weights = self._validated
        self.state = state.with_stop(self._reason_to_stop(state))
        self.model.stop_training = self.state.stopped is not None
        weights = read_variables(self.model.variables)
        optimizer = read_variables(self.model.optimizer.variables)
        checkpoint.save(
            self._output / STATE_FOLDER,
            checkpoint.Checkpoint(self.state, weights, optimizer, self.best_weights),
        )
        storage.put(self._output / "history.csv", self.state.history_csv())

    def _row(self, epoch: int, logs: Mapping[str, Any]) -> EpochRow:
        confusion = self._metric.numpy()
        validation = scores.summarize(confusion, [str(i) for i in range(len(confusion))])
        images = self._steps * self._config.batch_size
        stepping = max(1e-9, self._steps_ended - self._epoch_began)
        return EpochRow(
            epoch=epoch,
            loss=float(logs["loss"]),
            mean_iou=float(logs["mean_iou"]),
            val_loss=float(logs["val_loss"]),
            val_mean_iou=validation["mean_iou"],
            val_pixel_accuracy=validation["pixel_accuracy"],
            learning_rate=float(self.model.optimizer.learning_rate),
            seconds=time.monotonic() - self._epoch_began,
            images_per_second=images / stepping,
            input_wait=(self.model.input_wait - self._waited) / stepping,
        )

    def _time_is_up(self) -> bool:
        limit = self._config.max_minutes
        return limit is not None and self.seconds >= 60.0 * limit

    def _reason_to_stop(self, state: TrainingState) -> str | None:
        if self._time_is_up():
            return "max_minutes"
        if state.epochs_done >= self._config.epochs:
            return "epochs"
        patience = self._config.patience
        if patience is not None and state.epochs_done - state.best_epoch >= patience:
            return "patience"
        return None


class TrackEpochs(keras.callbacks.Callback):
    """Has the training's run on MLflow follow its history.

    Args:
        tracker: The run.
        recorder: Whose history; it comes before this one.
    """

    def __init__(self, tracker: Tracker, recorder: EpochRecorder) -> None:
        super().__init__()
        self._tracker = tracker
        self._recorder = recorder

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Begins the run, or goes on with it: a kill may have cost it an epoch."""
        self._tracker.update(self._recorder.state)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Sends the epoch, which is stored already."""
        self._tracker.update(self._recorder.state)
