"""`segflow train` as the tests of whole trainings run it, and how they kill it."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.requirements import ROOT

Settings = Mapping[str, object]

SHORT: Settings = {"epochs": 4, "batch-size": 4, "learning-rate": 0.01, "devices": "cpu:1"}
PLAIN: Settings = {**SHORT, "filters": 4, "depth": 2}

# All that has state of its own, or could depend on the number of devices. The backbone is frozen
# for two of four epochs; an update of the weights takes two batches, of which an epoch has three.
EVERYTHING: Settings = {
    **SHORT,
    "architecture": "tests.unit.train.backboned:build",
    "freeze-backbone-epochs": 2,
    "fine-tune-learning-rate": 0.002,
    "backbone-rate-factor": 0.5,
    "schedule-options.warmup-epochs": 1,
    "optimizer": "adamw",
    "moving-average": 0.5,
    "accumulation": 2,
    "clip-norm": 1.0,
    "sampling": "class_balanced",
    "class-weights": "median_frequency",
    "patience": 4,
}

COMMIT = "segflow.train.trainer:write_record"
"""Comes when all is trained: a kill there leaves the last checkpoint."""


def words(dataset: Path, output: Path, settings: Settings) -> list[str]:
    """The command line that trains, or goes on with a training."""
    flags = {"dataset": dataset, "output": output, "resume": True, **settings}
    return ["train", *(f"--{k}" if v is True else f"--{k}={v}" for k, v in flags.items())]


def train_until_killed(
    dataset: Path, output: Path, victim: str, call: int, settings: Settings
) -> None:
    """Runs it in a process of its own, which dies of SIGKILL at the n-th call of a function."""
    command = [sys.executable, "-m", "tests.unit.train.killed", victim, str(call)]
    command += words(dataset, output, settings)
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
