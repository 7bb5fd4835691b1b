"""`segflow ensemble`: combines bundles into one."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from pipelines import cli, tables
from segflow import storage
from segflow.ensemble.config import EnsembleConfig

_LEAST = 0.01  # a member of less weight changes next to no pixel


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("ensemble", EnsembleConfig, _execute, argv)


def _execute(config: EnsembleConfig, _: Sequence[str]) -> None:
    from segflow.ensemble.command import ensemble

    folder = ensemble(config)
    record = storage.read_json(folder / "bundle.json")
    tables.print_table(f"ensemble {folder}", _table(record))
    for line in warnings(record["members"]):
        tables.print_line(line)
    if record["metrics"] is not None:
        split = record["metrics"]["split"]
        tables.print_scores(f"ensemble {folder}, split {split}", record["metrics"])
    tables.print_report(folder)


def warnings(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each member of an ensemble that costs time and changes nothing."""
    return [
        f"{member['path']} has next to no weight ({member['weight']:.2g}): without it the ensemble "
        "would be as good, and faster"
        for member in members
        if member["weight"] < _LEAST
    ]


def _table(record: Mapping[str, Any]) -> Table:
    table = Table()
    for column in ("model", "architecture"):
        table.add_column(column, overflow="fold")
    for column in ("weight", "mean IoU", "pixel accuracy"):
        table.add_column(column, justify="right")
    for member in record["members"]:
        weight = f"{member['weight']:.3f}"
        table.add_row(member["path"], member["architecture"]["name"], weight, *_scores(member))
    table.add_row("the ensemble", "", "", *_scores(record))
    return table


def _scores(scored: Mapping[str, Any]) -> list[str]:
    metrics = scored["metrics"] or {}
    values = (metrics.get(name) for name in ("mean_iou", "pixel_accuracy"))
    return ["-" if value is None else f"{value:.4f}" for value in values]


if __name__ == "__main__":
    sys.exit(main())
