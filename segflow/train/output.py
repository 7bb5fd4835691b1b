"""What `--output` may hold when a training begins, and what it holds already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segflow import storage
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.train import checkpoint
from segflow.train.bundle import RECORD_NAME, Bundle
from segflow.train.config import TrainConfig

STATE_FOLDER = "_train"
"""Made first and removed after the commit: it marks an unfinished training."""


def finished_bundle(config: TrainConfig, dataset: Dataset) -> Bundle | None:
    """The bundle in `--output`, if this very training has been finished there.

    Raises:
        UsageError: The folder holds the bundle of another training, or an altered one.
    """
    if not (Path(config.output) / RECORD_NAME).is_file():
        return None
    bundle = Bundle.load(config.output)
    if bundle.is_ensemble:
        raise UsageError(f"--output {config.output} holds an ensemble; choose another folder")
    asked = {**config.identity(), "dataset": dataset.fingerprint}
    found = {**bundle.record["training"], "dataset": bundle.record["dataset"]["fingerprint"]}
    _refuse_other(config.output, "the bundle of another training", found, asked)
    return bundle


def check_output(config: TrainConfig, dataset: Dataset) -> None:
    """Checks that an output folder without a bundle is free for this training.

    Raises:
        UsageError: The folder holds something else, or an unfinished training that is not to be
            resumed or has other settings.
    """
    output = Path(config.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; give a folder")
    names = storage.names_in(output)
    if names and STATE_FOLDER not in names:
        raise UsageError(
            f"--output {output} holds {names[0]!r}, which is not of this training; choose a new "
            "or empty folder"
        )
    state = checkpoint.load_state(output / STATE_FOLDER)
    if state is not None:
        if not config.resume:
            raise UsageError(
                f"--output {output} holds an unfinished training of {state.epochs_done} epochs; "
                "go on with --resume, or choose another folder"
            )
        asked = run_identity(config, dataset)
        _refuse_other(config.output, "a training with other settings", state.identity, asked)


def run_identity(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """What a continued training must share with its beginning."""
    return {**config.resume_identity(), "dataset": dataset.fingerprint}


def _refuse_other(
    output: str, what: str, found: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    for name, value in asked.items():
        if found.get(name) != value:
            raise UsageError(
                f"--output {output} holds {what}: {name} is {found.get(name)} there and "
                f"{value} here; choose another folder"
            )
