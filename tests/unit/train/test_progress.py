"""Progress on a terminal and elsewhere."""

import io
from types import SimpleNamespace

from rich.console import Console

from segflow.train.config import TrainConfig
from segflow.train.progress import ProgressReporter
from segflow.train.state import EpochRow, TrainingState

ROW = EpochRow(1, 1.25, 0.2, 1.5, 0.375, 0.8, 0.001, 2.5, 30.0, 0.125)


def _run(terminal: bool, row: EpochRow = ROW, max_minutes: float | None = None) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    config = TrainConfig("data", "out", epochs=2, max_minutes=max_minutes)
    recorder = SimpleNamespace(state=TrainingState({}), seconds=30.0)
    reporter = ProgressReporter(config, 10, recorder, console)
    reporter.on_train_begin()
    reporter.on_epoch_begin(0)
    for step in range(10):
        reporter.on_train_batch_end(step, {"loss": 1.25})
    recorder.state = recorder.state.with_row(row)
    reporter.on_epoch_end(0)
    reporter.on_epoch_begin(1)
    reporter.on_train_batch_end(2, {"loss": 1.125})
    reporter.close()
    return text.getvalue()


def test_a_log_gets_one_line_an_epoch():
    lines = _run(terminal=False).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(
        "train: epoch 1 of 2, loss 1.2500, val loss 1.5000, val mIoU 0.3750, 30.0 images/s, "
        "input wait 12%, "
    )
    assert lines[0].endswith(" s left")


def test_a_terminal_gets_a_bar_with_epoch_step_loss_and_score():
    shown = _run(terminal=True)
    assert "epoch 2/2 step 3/10 loss 1.1250 val mIoU 0.3750" in shown
    assert "s left" in shown


def test_an_undefined_score_is_a_dash():
    row = EpochRow(1, 1.25, 0.2, 1.5, None, None, 0.001, 2.5, 30.0, 0.125)
    assert "val mIoU -," in _run(terminal=False, row=row)


def test_the_time_limit_bounds_the_time_left():
    assert _run(terminal=False, max_minutes=0.5).endswith(", 0 s left (0.0 epochs)\n")
