"""`segflow ingest`: raw images + masks to resized, validated, augmented TFRecord shards."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from pipelines import cli, tables
from segflow.data.config import IngestConfig

if TYPE_CHECKING:
    from segflow.dataset import Dataset


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("ingest", IngestConfig, _execute, argv, takes_beam_flags=True)


def _execute(config: IngestConfig, beam_flags: Sequence[str]) -> None:
    from segflow.data.command import ingest  # heavy: --help does without
    from segflow.report.leakage import warnings

    dataset = ingest(config, beam_flags)
    tables.print_table(f"dataset {dataset.folder}", _table(dataset))
    tables.print_inputs(dataset.record["inputs"])
    for warning in warnings(dataset.record):
        tables.print_line(f"leak: {warning}")
    tables.print_report(dataset.folder)


def _table(dataset: "Dataset") -> Table:
    table = Table()
    for column in ("split", "sources", "examples", "shards", "ignored pixels"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split in dataset.splits.values():
        total = sum(split.class_pixels.values()) + split.ignored_pixels
        ignored = f"{split.ignored_pixels / total:.1%}" if total else "-"
        counts = (split.sources, split.examples, len(split.shards))
        table.add_row(split.name, *map(str, counts), ignored)
    return table


if __name__ == "__main__":
    sys.exit(main())
