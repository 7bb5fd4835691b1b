"""`train --sweep`: from a dataset to a folder of bundles and the table that ranks them."""

import hashlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow import storage
from segflow.dataset import Dataset
from segflow.errors import JobError, SegflowError, UsageError
from segflow.lock import lock
from segflow.train.bundle import RECORD_NAME as BUNDLE_NAME
from segflow.train.config import TrainConfig
from segflow.train.sweep.config import Sweep
from segflow.train.sweep.proposals import propose, require_optuna
from segflow.train.sweep.trials import Trial, best_of, stored_trials, to_csv
from segflow.train.trainer import check_dataset

RECORD_NAME = "sweep.json"
TABLE_NAME = "sweep.csv"
_LOCK_FOLDER = "_sweep"
_REPEATED_OUTPUT = "model"  # what the best trial's command line calls its output


@dataclass(frozen=True)
class Training:
    """How a sweep comes to its trainings.

    Attributes:
        words: From settings, by name, to the command line of a training with these.
        parse: From such a command line to a training; raises `UsageError` if it cannot be.
        run: Trains; raises what went wrong.
    """

    words: Callable[[Mapping[str, Any]], Sequence[str]]
    parse: Callable[[Sequence[str]], TrainConfig]
    run: Callable[[TrainConfig], None]


def run_sweep(sweep: Sweep, base: TrainConfig, training: Training, console: Console) -> list[Trial]:
    """Trains again and again into `base.output`, and ranks what comes of it.

    A trial that goes wrong costs that trial. A sweep that was interrupted goes on, in the middle
    of the training that it was at; one that is finished is left as it is.

    Args:
        sweep: What to search.
        base: What all trials have in common.
        training: How to train.
        console: Where lines about trials go.

    Returns:
        All trials, in order.

    Raises:
        UsageError: Optuna is not installed, the dataset cannot be trained on, or the folder holds
            something else.
        JobError: No trial came to a score.
    """
    require_optuna()
    dataset, output = Dataset.load(base.dataset), Path(base.output)
    check_dataset(dataset, base)
    identity = _identity(sweep, base, dataset)
    _check_output(output, identity)
    with lock(output, _LOCK_FOLDER):
        _check_output(output, identity)  # again: another sweep may have begun meanwhile
        _write(output, sweep, identity, training, stored_trials(output))
        for trial in _open_trials(sweep, output):
            _say(console, trial, f"of {sweep.trials}, {_settings_text(trial)}")
            ended = _ended(trial, output, training)
            ended.store(output)
            _say(console, ended, _outcome_text(ended))
            _write(output, sweep, identity, training, stored_trials(output))
    trials = stored_trials(output)
    if len(trials) < sweep.trials:
        console.print(f"sweep: all {len(trials)} combinations have been tried")
    if best_of(trials) is None:
        reason = trials[0].reason or "no pixel of val counts"
        raise JobError(f"no trial came to a score; {TABLE_NAME} says why, the first: {reason}")
    return trials


def _identity(sweep: Sweep, base: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """What a continued sweep must share with its beginning; it may become longer."""
    return {
        "dataset": {"path": base.dataset, "fingerprint": dataset.fingerprint},
        "config": {**base.identity(), "from_bundle": base.from_bundle},
        "parameters": {name: p.to_json() for name, p in sweep.parameters.items()},
        "seed": sweep.seed,
    }


def _check_output(output: Path, identity: Mapping[str, Any]) -> None:
    """Raises `UsageError` unless the folder is free, or holds this very sweep."""
    names = [name for name in storage.names_in(output) if name != _LOCK_FOLDER]
    if not names:
        return
    if RECORD_NAME not in names:
        raise UsageError(
            f"--output {output} holds {names[0]!r}, which is not of this sweep; choose a new or "
            "empty folder"
        )
    found = storage.read_json(output / RECORD_NAME)
    for name in ("config", "parameters", "seed"):
        if found[name] != identity[name]:
            raise UsageError(
                f"--output {output} holds a sweep with other {_difference(found, identity, name)}; "
                "choose another folder"
            )
    if found["dataset"]["fingerprint"] != identity["dataset"]["fingerprint"]:
        raise UsageError(
            f"--output {output} holds a sweep on another dataset; choose another folder"
        )


def _difference(found: Mapping[str, Any], asked: Mapping[str, Any], name: str) -> str:
    if not isinstance(asked[name], Mapping):
        return f"{name}: {found[name]} there and {asked[name]} here"
    keys = {**asked[name], **found[name]}
    key = next(k for k in keys if found[name].get(k) != asked[name].get(k))
    return f"{name}: {key} is {found[name].get(key)} there and {asked[name].get(key)} here"


def _open_trials(sweep: Sweep, output: Path) -> Iterator[Trial]:
    """The trial that was interrupted, if one was; then new ones until it is enough."""
    while True:
        trials = stored_trials(output)
        begun = [trial for trial in trials if trial.status == "begun"]
        if begun:
            yield begun[0]
            continue
        settings = propose(sweep, trials) if len(trials) < sweep.trials else None
        if settings is None:
            return
        number = trials[-1].number + 1 if trials else 0
        trial = Trial(number, settings)
        trial.store(output)
        yield trial


def _ended(trial: Trial, output: Path, training: Training) -> Trial:
    """Trains, or goes on training, to the trial's end."""
    folder = trial.folder(output)
    own = {"output": str(folder), "resume": folder.exists()}
    try:
        training.run(training.parse(training.words({**trial.settings, **own})))
    except SegflowError as error:
        reason = " ".join(str(error).split())
        if isinstance(error, UsageError):
            return replace(trial, status="refused", reason=reason)
        return replace(trial, status="failed", reason=reason)
    bundle = storage.read_json(folder / BUNDLE_NAME)
    minutes = bundle["training"]["seconds"] / 60
    score = bundle["metrics"]["mean_iou"]
    return replace(trial, status="done", val_mean_iou=score, minutes=minutes)


def _write(
    output: Path,
    sweep: Sweep,
    identity: Mapping[str, Any],
    training: Training,
    trials: Sequence[Trial],
) -> None:
    """Writes table and record anew: after each trial, so that a sweep can be looked at."""
    ended = [trial for trial in trials if trial.status != "begun"]
    table = to_csv(ended, list(sweep.parameters))
    best = best_of(ended)
    file = {"path": TABLE_NAME, "bytes": len(table), "sha256": hashlib.sha256(table).hexdigest()}
    record = {
        **identity,
        "trials": sweep.trials,
        "results": [trial.to_dict() for trial in ended],
        "best": best and {"trial": best.number, "command": _command(best, training)},
        "files": [file],
    }
    storage.put(output / TABLE_NAME, table)
    storage.put(output / RECORD_NAME, storage.to_json(record))


def _command(trial: Trial, training: Training) -> str:
    words = training.words({**trial.settings, "output": _REPEATED_OUTPUT})
    return shlex.join(["segflow", "train", *words])


def _say(console: Console, trial: Trial, text: str) -> None:
    console.print(f"sweep: trial {trial.name} {text}")


def _settings_text(trial: Trial) -> str:
    return ", ".join(f"{name} {value}" for name, value in trial.settings.items())


def _outcome_text(trial: Trial) -> str:
    if trial.status != "done":
        return f"{trial.status}: {trial.reason}"
    score = "-" if trial.val_mean_iou is None else f"{trial.val_mean_iou:.4f}"
    return f"done: val mIoU {score}, {trial.minutes:.1f} minutes"
