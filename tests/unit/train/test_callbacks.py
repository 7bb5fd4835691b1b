"""The clock, the history and what is stored, without a real model."""

from types import SimpleNamespace

import numpy as np
import pytest

from segflow.train import callbacks, checkpoint
from segflow.train.callbacks import EpochRecorder
from segflow.train.config import TrainConfig
from segflow.train.output import STATE_FOLDER
from segflow.train.state import TrainingState

LOGS = {"loss": 0.5, "mean_iou": 0.4, "val_loss": 0.6}


class Clock:
    """Time that passes when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(callbacks.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


class Training:
    """A recorder with a stand-in for the model: `epoch` runs one epoch of two steps."""

    def __init__(self, folder, start=TrainingState({}), best_weights=None, **settings):  # noqa: B008
        self.config = TrainConfig("data", str(folder), batch_size=4, **{"epochs": 9, **settings})
        self.counts = np.zeros((2, 2), np.int64)
        metric = SimpleNamespace(numpy=lambda: self.counts)
        self.recorder = EpochRecorder(self.config, metric, start, best_weights)
        self.model = SimpleNamespace(variables=[], stop_training=False, input_wait=5.0)
        self.model.optimizer = SimpleNamespace(variables=[], learning_rate=0.25)
        self.recorder.set_model(self.model)
        self.recorder.on_train_begin()

    def epoch(self, right: int, clock: Clock, seconds: float = 10.0) -> bool:
        """Ends an epoch with `right` of 100 pixels right; returns whether training stops."""
        number = self.recorder.state.epochs_done
        self.model.variables = [np.float32(number + 1)]
        self.recorder.on_epoch_begin(number)
        for step in range(2):
            clock.now += 0.3 * seconds
            self.model.input_wait += 0.06 * seconds
            self.recorder.on_train_batch_end(step, LOGS)
        clock.now += 0.4 * seconds
        self.counts = np.array([[right, 100 - right], [0, 0]])
        self.recorder.on_test_end()
        self.recorder.on_epoch_end(number, LOGS)
        return self.model.stop_training


def test_a_row_has_the_scores_and_times_of_its_epoch(tmp_path, clock):
    training = Training(tmp_path)
    training.epoch(80, clock)
    row = training.recorder.state.rows[0]
    assert (row.epoch, row.loss, row.val_loss, row.learning_rate) == (1, 0.5, 0.6, 0.25)
    assert row.val_mean_iou == pytest.approx(0.4)  # 0.8 of the one class, 0 of the other
    assert row.val_pixel_accuracy == pytest.approx(0.8)
    assert row.seconds == pytest.approx(10)
    assert row.images_per_second == pytest.approx(8 / 6)
    assert row.input_wait == pytest.approx(0.2)
    assert (tmp_path / "history.csv").read_bytes() == training.recorder.state.history_csv()


def test_the_checkpoint_holds_the_best_weights_beside_the_last(tmp_path, clock):
    training = Training(tmp_path)
    for right in (50, 90, 70):
        training.epoch(right, clock)
    stored = checkpoint.load(tmp_path / STATE_FOLDER)
    assert stored.state == training.recorder.state
    assert stored.state.best_epoch == 2
    assert [a.item() for a in stored.weights] == [3]
    assert [a.item() for a in stored.best_weights] == [2]


def test_it_stops_after_the_last_epoch(tmp_path, clock):
    training = Training(tmp_path, epochs=2)
    assert not training.epoch(50, clock)
    assert training.epoch(60, clock)
    assert training.recorder.state.stopped == "epochs"


def test_it_stops_when_the_score_has_not_risen_for_so_long(tmp_path, clock):
    training = Training(tmp_path, patience=2)
    assert [training.epoch(right, clock) for right in (50, 60, 60, 40)] == [
        False,
        False,
        False,
        True,
    ]
    assert training.recorder.state.stopped == "patience"


def test_it_stops_within_an_epoch_when_the_time_is_up(tmp_path, clock):
    training = Training(tmp_path, max_minutes=0.25)
    assert not training.epoch(50, clock)
    training.recorder.on_epoch_begin(1)
    clock.now += 4.9
    training.recorder.on_train_batch_end(0, LOGS)
    assert not training.model.stop_training
    clock.now += 0.1
    training.recorder.on_train_batch_end(1, LOGS)
    assert training.model.stop_training
    training.recorder.on_epoch_end(1, LOGS)
    assert training.recorder.state.stopped == "max_minutes"
    assert training.recorder.state.epochs_done == 2


def test_time_before_a_resumption_counts(tmp_path, clock):
    first = Training(tmp_path, max_minutes=0.3)
    first.epoch(50, clock)
    clock.now += 1000  # the process was away
    second = Training(tmp_path, first.recorder.state, first.recorder.best_weights, max_minutes=0.3)
    assert second.recorder.seconds == pytest.approx(10)
    assert second.epoch(40, clock)
    assert second.recorder.state.best_epoch == 1
    assert [a.item() for a in second.recorder.best_weights] == [1]
