"""The options of `segflow compare`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from segflow import ranges


@dataclass(frozen=True)
class CompareConfig:
    """How many pixels go from which class to which between two runs of labels."""

    before: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_A")]
    """Labels: a folder, for what its newest model says now; or one run, LABELS/runs/RUN.json."""
    after: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_B")]
    """The labels to compare them with, given in the same way."""
    output: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for changes.parquet (a row for each image) and changes.json; default: only print."""
    max_change: float = 1.0
    """Share of the pixels that may change; more makes the exit code 1, to stop a release."""
    max_missing: float = 0.0
    """Share of the first side's images that the second may lack, or have with other bytes; more
    makes the exit code 1, too, since of these nobody knows what changed."""

    def __post_init__(self) -> None:
        ranges.require_range("--max-change", self.max_change, 0, 1)
        ranges.require_range("--max-missing", self.max_missing, 0, 1)
