"""`segflow report`: (re)draws the HTML report of any output folder, or compares models."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from pipelines import cli, tables
from segflow.errors import UsageError


@dataclass(frozen=True)
class ReportConfig:
    """(Re)draws the report of any output folder, or a page that compares models."""

    folder: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(required)"),
    ]
    """A dataset, model bundle, evaluation, labels, or sweep; or several model bundles."""
    output: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """HTML file to write the comparison of several bundles to; a folder's own report lies in it."""

    def __post_init__(self) -> None:
        if len(self.folder) > 1 and self.output is None:
            raise UsageError(
                f"{len(self.folder)} folders are compared on a page of their own; give it a name "
                "with --output, such as compare.html"
            )
        if len(self.folder) == 1 and self.output is not None:
            raise UsageError(
                "--output is for the comparison of several model bundles; one folder's report is "
                "report.html in that folder"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("report", ReportConfig, _execute, argv)


def _execute(config: ReportConfig, _: Sequence[str]) -> None:
    from segflow.report import compare, draw

    if config.output is None:
        path = draw(config.folder[0])
    else:
        path = compare(config.folder, config.output)
    tables.print_line(f"report: {path}")


if __name__ == "__main__":
    sys.exit(main())
