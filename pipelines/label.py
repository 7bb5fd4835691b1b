"""`segflow label`: masks and class areas for every image of a collection."""

import sys
from collections.abc import Sequence

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
    tables.print_areas(f"run {record['run']}", record)
    tables.print_inputs(record["inputs"])
    if record["gone"]:
        tables.print_line(f"labelled before and gone since: {record['gone']} images")
    tables.print_report(config.output)


if __name__ == "__main__":
    sys.exit(main())
