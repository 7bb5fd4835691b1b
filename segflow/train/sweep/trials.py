"""A sweep's trials and their records: `trials/NNN.json` beside the bundle `trials/NNN/`."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segflow import storage

FOLDER = "trials"


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        number: From 0, in the order in which they were begun.
        settings: The values of the sweep's parameters.
        status: `begun`; `done`: there is a bundle; `refused`: these settings do not go together;
            `failed`: it ended with an error.
        val_mean_iou: Of the bundle, on `val`; None without one, or if no pixel counts there.
        minutes: Time of its epochs; None without a bundle.
        reason: Why it was refused or failed.
    """

    number: int
    settings: Mapping[str, Any]
    status: Literal["begun", "done", "refused", "failed"] = "begun"
    val_mean_iou: float | None = None
    minutes: float | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.number:03d}"

    def folder(self, output: Path) -> Path:
        """Where its bundle lies in the sweep's folder."""
        return output / FOLDER / self.name

    def store(self, output: Path) -> None:
        """Writes its record, in place of an earlier one."""
        path = output / FOLDER / f"{self.name}.json"
        storage.put(path, storage.to_json(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """The trial as JSON values."""
        return dataclasses.asdict(self)


def stored_trials(output: Path) -> list[Trial]:
    """The trials that a sweep's folder has records of, in order."""
    paths = sorted((output / FOLDER).glob("[0-9]*.json"), key=lambda path: int(path.stem))
    return [Trial(**storage.read_json(path)) for path in paths]


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest score, the first of equals; None if none has a score."""
    scored = [trial for trial in trials if trial.val_mean_iou is not None]
    return max(scored, key=lambda trial: trial.val_mean_iou or 0.0, default=None)


def to_csv(trials: Sequence[Trial], parameters: Sequence[str]) -> bytes:
    """`sweep.csv`: a row per trial that has ended; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "status", "val_mean_iou", "minutes", *parameters, "reason"])
    for trial in trials:
        settings = [trial.settings[name] for name in parameters]
        figures = (trial.val_mean_iou, trial.minutes)
        writer.writerow([trial.name, trial.status, *figures, *settings, trial.reason])
    return text.getvalue().encode()
