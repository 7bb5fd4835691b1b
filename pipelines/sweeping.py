"""`segflow train --sweep`: its file, the command lines of its trials, and what it prints."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from pipelines import cli, flags, parsing, tables
from segflow import storage
from segflow.console import plain_console
from segflow.errors import UsageError
from segflow.train.config import TrainConfig
from segflow.train.sweep.config import (
    OWN_SETTINGS,
    Sweep,
    TrainCommandConfig,
    check_keys,
    parse_parameter,
)

_FLAGS = flags.own_flags(TrainConfig)


def execute(config: TrainCommandConfig, path: str) -> None:
    """Runs the sweep that the file `path` describes, and prints its table."""
    sweep, base = read(path), dataclasses.replace(config.training(), resume=False, mlflow=None)
    from segflow.train.sweep.command import RECORD_NAME, Training, run_sweep
    from segflow.train.tracking_server import require_mlflow

    require_mlflow(config.mlflow)

    def train(trial: TrainConfig) -> None:
        # No part of a command line: those are recorded, and the address may hold a password.
        _train(dataclasses.replace(trial, mlflow=config.mlflow))

    training = Training(lambda settings: words(base, settings), parse, train)
    run_sweep(sweep, base, training, plain_console(stderr=True))
    record = storage.read_json(Path(base.output) / RECORD_NAME)
    tables.print_table(f"sweep {base.output}, best first", _table(record))
    tables.print_line(f"train the best again: {record['best']['command']}")
    tables.print_report(base.output)


def read(path: str) -> Sweep:
    """Reads the file of a sweep.

    Raises:
        UsageError: It cannot be read, or asks for something that cannot be searched.
    """
    data = flags.read_yaml("--sweep", path)
    check_keys(data)
    parameters = {}
    for key, value in flags.settings(data["parameters"], _FLAGS):
        if flags.normal(key) not in _FLAGS:
            raise flags.unknown_key(f"--sweep {path}", key, _FLAGS)
        name = key.replace("-", "_")
        if name in OWN_SETTINGS:
            raise UsageError(f"--sweep {path}: {key} is no parameter; each trial has its own")
        parameters[name] = parse_parameter(name, value)
    return Sweep(**{**data, "parameters": parameters})


def words(base: TrainConfig, settings: Mapping[str, Any]) -> list[str]:
    """The command line of a training that differs from `base` in some settings.

    Args:
        base: A training.
        settings: Values by name, sections by dots.
    """
    told = {**dict(_told(base)), **settings}
    return [
        word
        for name, value in told.items()
        for word in flags.own_words(_FLAGS[flags.normal(name)], value)
    ]


def parse(command_line: Sequence[str]) -> TrainConfig:
    """The training that a command line asks for.

    Raises:
        UsageError: It asks for none that can be.
    """
    return parsing.build("segflow train", TrainConfig, cli.SharedConfig, command_line, "")


def _told(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings that are not as they would be by default."""
    for field in dataclasses.fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _told(value, f"{name}.")
        elif value != field.default:
            yield name, list(value) if isinstance(value, tuple) else value


def _train(config: TrainConfig) -> None:
    from segflow.report import draw
    from segflow.train.sweep.process import train_apart
    from segflow.train.tracking import log_bundle

    train_apart(config)
    draw(config.output)
    if config.mlflow is not None:
        log_bundle(config.mlflow, config.output, plain_console(stderr=True))


def _table(record: Mapping[str, Any]) -> Table:
    table = Table()
    for column in ("trial", "val mIoU", "minutes"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for trial in sorted(record["results"], key=lambda trial: -(trial["val_mean_iou"] or 0.0)):
        figures = (_figure(trial["val_mean_iou"], ".4f"), _figure(trial["minutes"], ".1f"))
        settings = ", ".join(f"{name} {value}" for name, value in trial["settings"].items())
        table.add_row(f"{trial['number']:03d}", *figures, trial["status"], settings)
    return table


def _figure(value: float | None, digits: str) -> str:
    return "-" if value is None else f"{value:{digits}}"
