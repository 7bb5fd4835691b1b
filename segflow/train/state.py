"""How far a training has come: its history, its best epoch, and why it ended."""

import csv
import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EpochRow:
    """One row of `history.csv`.

    Attributes:
        epoch: From 1.
        loss: Mean training loss, of augmented examples and while the weights changed.
        mean_iou: Training mIoU, likewise.
        val_loss: Validation loss at the epoch's end.
        val_mean_iou: Validation mIoU; None if no validation pixel counts.
        val_pixel_accuracy: Share of the validation pixels that are right; None likewise.
        learning_rate: At the epoch's end.
        seconds: Time the epoch took with its validation.
        images_per_second: Training images over the time of the training steps alone.
        input_wait: Share of that time, 0 to 1, in which the steps waited for their images.
    """

    epoch: int
    loss: float
    mean_iou: float
    val_loss: float
    val_mean_iou: float | None
    val_pixel_accuracy: float | None
    learning_rate: float
    seconds: float
    images_per_second: float
    input_wait: float


@dataclass(frozen=True)
class TrainingState:
    """Where a training stands at the end of an epoch.

    Attributes:
        identity: What is trained; a continuation must have the same.
        rows: One per finished epoch.
        best_epoch: The epoch with the highest validation mIoU, the first of equals; 0 before
            the first epoch's end.
        stopped: Why no epoch follows (`epochs`, `max_minutes`, `patience`), or None.
    """

    identity: Mapping[str, Any]
    rows: tuple[EpochRow, ...] = ()
    best_epoch: int = 0
    stopped: str | None = None

    @property
    def epochs_done(self) -> int:
        """Number of finished epochs."""
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """Time of all finished epochs."""
        return sum(row.seconds for row in self.rows)

    @property
    def input_wait(self) -> float:
        """Mean of the epochs' shares, by their time."""
        return sum(row.input_wait * row.seconds for row in self.rows) / max(1e-9, self.seconds)

    @property
    def best_row(self) -> EpochRow | None:
        """The row of the best epoch."""
        return self.rows[self.best_epoch - 1] if self.best_epoch else None

    def with_row(self, row: EpochRow) -> "TrainingState":
        """The state after one more epoch."""
        better = self.best_row is None or _rank(row) > _rank(self.best_row)
        best_epoch = row.epoch if better else self.best_epoch
        return dataclasses.replace(self, rows=(*self.rows, row), best_epoch=best_epoch)

    def with_stop(self, reason: str | None) -> "TrainingState":
        """The state with why it ended."""
        return dataclasses.replace(self, stopped=reason)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TrainingState":
        """The inverse of `to_dict`."""
        return cls(**{**data, "rows": tuple(EpochRow(**row) for row in data["rows"])})

    def history_csv(self) -> bytes:
        """`history.csv`: a row per epoch; None is an empty field."""
        text = io.StringIO()
        names = [field.name for field in dataclasses.fields(EpochRow)]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in self.rows)
        return text.getvalue().encode()


def _rank(row: EpochRow) -> float:
    return -1.0 if row.val_mean_iou is None else row.val_mean_iou
