"""Progress of a training: a live bar in a terminal, a line an epoch elsewhere."""

import time
from collections.abc import Mapping
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from segflow.train.callbacks import EpochRecorder
from segflow.train.config import TrainConfig
from segflow.train.state import EpochRow


class ProgressReporter(keras.callbacks.Callback):
    """Shows epoch, step, loss, validation mIoU and time left.

    Args:
        config: How many epochs, and the time limit.
        steps: Steps an epoch.
        recorder: Whose history is shown; it must come before this one.
        console: Where to.
    """

    def __init__(
        self, config: TrainConfig, steps: int, recorder: EpochRecorder, console: Console
    ) -> None:
        super().__init__()
        self._config = config
        self._steps = steps
        self._recorder = recorder
        self._console = console
        self._epoch = 0
        self._timed_from: tuple[int, float] | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Draws the bar, if there is a terminal to draw it on."""
        if self._console.is_terminal:
            self._bar = _bar(self._console)
            total = self._config.epochs * self._steps
            self._task = self._bar.add_task("train", total=total, detail="", left="")
            self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Moves the bar."""
        done = self._epoch * self._steps + batch + 1
        if self._timed_from is None:  # the first step is slow: it is traced
            self._timed_from = done, time.monotonic()
        if self._bar is None or logs is None:
            return
        detail = (
            f"epoch {self._epoch + 1}/{self._config.epochs} step {batch + 1}/{self._steps} "
            f"loss {float(logs['loss']):.4f} val mIoU {_score(self._last_row)}"
        )
        steps, left = self._left(done)
        self._bar.update(self._task, completed=done, total=done + steps, detail=detail, left=left)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Prints a line where there is no bar."""
        row = self._last_row
        if self._bar is None and row is not None:
            _, left = self._left((epoch + 1) * self._steps)
            self._console.print(
                f"train: epoch {row.epoch} of {self._config.epochs}, loss {row.loss:.4f}, "
                f"val loss {row.val_loss:.4f}, val mIoU {_score(row)}, "
                f"{row.images_per_second:.1f} images/s, input wait {row.input_wait:.0%}"
                + (f", {left}" if left and self._recorder.state.stopped is None else "")
            )

    def close(self) -> None:
        """Gives the terminal back, also after an error."""
        if self._bar is not None:
            self._bar.stop()

    @property
    def _last_row(self) -> EpochRow | None:
        rows = self._recorder.state.rows
        return rows[-1] if rows else None

    def _left(self, done: int) -> tuple[float, str]:
        """How many steps are left, and how long they take, in words."""
        steps = float(self._config.epochs * self._steps - done)
        first, began = self._timed_from or (0, 0.0)
        if done <= first:
            return steps, ""
        pace = (time.monotonic() - began) / (done - first)
        if self._config.max_minutes is None:
            return steps, f"{pace * steps:.0f} s left"
        limit = max(0.0, 60.0 * self._config.max_minutes - self._recorder.seconds)
        if pace * steps <= limit:
            return steps, f"{pace * steps:.0f} s left"
        steps = limit / pace
        return steps, f"{limit:.0f} s left ({steps / self._steps:.1f} epochs)"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
    )


def _score(row: EpochRow | None) -> str:
    return "-" if row is None or row.val_mean_iou is None else f"{row.val_mean_iou:.4f}"
