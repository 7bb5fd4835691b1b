"""`segflow report`: (re)draws the HTML report of any output folder."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from pipelines import cli, tables


@dataclass(frozen=True)
class ReportConfig:
    """(Re)draws the HTML report of any output folder: one file that needs no network."""

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """A dataset, model bundle, evaluation, or labels."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("report", ReportConfig, _execute, argv)


def _execute(config: ReportConfig, _: Sequence[str]) -> None:
    from segflow.report import draw

    path = draw(config.folder)
    tables.print_line(f"report: {path}")


if __name__ == "__main__":
    sys.exit(main())
