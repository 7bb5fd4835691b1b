"""`segflow label`: masks and class areas for every image of a collection."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from pipelines import cli, tables
from segflow.label.config import LabelConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("label", LabelConfig, _execute, argv, takes_beam_flags=True)


def _execute(config: LabelConfig, beam_flags: Sequence[str]) -> None:
    from segflow.label.command import label  # heavy: --help does without

    record = label(config, beam_flags)
    if record is None:
        tables.print_line(f"{config.output}: nothing new to label")
        return
    tables.print_table(f"run {record['run']}", _table(record))
    tables.print_inputs(record["inputs"])
    if record["gone"]:
        tables.print_line(f"labelled before and gone since: {len(record['gone'])} images")
    tables.print_report(config.output)


def _table(record: Mapping[str, Any]) -> Table:
    has_area = record["classes"][0]["area"] is not None
    table = Table()
    table.add_column("class")
    for column in ("pixels", "share", "images", *(("area, m²",) if has_area else ())):
        table.add_column(column, justify="right")
    for entry in record["classes"]:
        share = f"{entry['fraction']:.2%}"
        cells = [entry["name"], f"{entry['pixels']:,}", share, f"{entry['images']:,}"]
        table.add_row(*cells, *([f"{entry['area']:,.1f}"] if has_area else []))
    return table


if __name__ == "__main__":
    sys.exit(main())
