"""History and checkpoints: one epoch's, whole, or none."""

import csv
import io

import numpy as np
import pytest

from segflow.train import checkpoint
from segflow.train.checkpoint import Checkpoint
from segflow.train.state import EpochRow, TrainingState


def row(epoch: int, mean_iou: float | None) -> EpochRow:
    return EpochRow(epoch, 1.0 / 3, 0.2, 0.7, mean_iou, 0.8, 0.001, 2.5, 30.0, 0.1)


def state(*mean_ious: float | None) -> TrainingState:
    result = TrainingState({"seed": 1})
    for epoch, mean_iou in enumerate(mean_ious, start=1):
        result = result.with_row(row(epoch, mean_iou))
    return result


def _stored(epochs: int) -> Checkpoint:
    value = np.float32(epochs)
    weights = [np.full((2, 3), value), np.array(epochs, np.int64)]
    return Checkpoint(state(*[0.1] * epochs), weights, [value + np.arange(3)], [-weights[0]])


@pytest.mark.parametrize(
    ("mean_ious", "best"),
    [
        ((), 0),
        ((0.2, 0.4, 0.3), 2),
        ((0.4, 0.4), 1),
        ((None, 0.0), 2),
        ((0.1, None), 1),
        ((None,), 1),
    ],
)
def test_the_best_epoch_is_the_first_with_the_highest_validation_score(mean_ious, best):
    assert state(*mean_ious).best_epoch == best


def test_history_is_a_row_per_epoch_with_empty_fields_for_what_is_undefined():
    rows = list(csv.DictReader(io.StringIO(state(0.25, None).history_csv().decode())))
    assert [r["val_mean_iou"] for r in rows] == ["0.25", ""]
    assert float(rows[0]["loss"]) == 1.0 / 3
    assert list(rows[0]) == [
        "epoch",
        "loss",
        "mean_iou",
        "val_loss",
        "val_mean_iou",
        "val_pixel_accuracy",
        "learning_rate",
        "seconds",
        "images_per_second",
        "input_wait",
    ]


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    checkpoint.save(tmp_path / "c", _stored(2))
    found = checkpoint.load(tmp_path / "c")
    assert found.state == _stored(2).state
    for name in ("weights", "optimizer", "best_weights"):
        for a, b in zip(getattr(found, name), getattr(_stored(2), name), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_only_the_newest_is_kept(tmp_path):
    for epochs in (1, 2, 10):
        checkpoint.save(tmp_path, _stored(epochs))
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-000010"]
    assert checkpoint.load_state(tmp_path).epochs_done == 10


def test_nothing_stored_is_none(tmp_path):
    assert checkpoint.load(tmp_path / "absent") is None
    assert checkpoint.load_state(tmp_path) is None


class Killed(BaseException):
    pass


@pytest.mark.parametrize("call", range(1, 5))
def test_a_kill_while_saving_leaves_the_epoch_before_or_the_new_one(tmp_path, monkeypatch, call):
    """Ends the process, as it were, at each write of the second checkpoint."""
    checkpoint.save(tmp_path, _stored(1))
    calls = []

    def dying(original):
        def step(*args, **kwargs):
            calls.append(original)
            if len(calls) == call:
                raise Killed
            return original(*args, **kwargs)

        return step

    monkeypatch.setattr(checkpoint, "_write_arrays", dying(checkpoint._write_arrays))
    monkeypatch.setattr(checkpoint.shutil, "rmtree", dying(checkpoint.shutil.rmtree))
    with pytest.raises(Killed):
        checkpoint.save(tmp_path, _stored(2))
    monkeypatch.undo()
    found = checkpoint.load(tmp_path)
    assert found.state.epochs_done == (2 if call == 4 else 1)
    np.testing.assert_array_equal(found.weights[0], _stored(found.state.epochs_done).weights[0])
    checkpoint.save(tmp_path, _stored(3))
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-000003"]
