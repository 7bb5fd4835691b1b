"""`segflow verify`: re-reads any output folder and checks counts and checksums."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from pipelines import cli, tables
from segflow.errors import JobError


@dataclass(frozen=True)
class VerifyConfig:
    """Re-reads any output folder and checks counts and checksums; writes nothing."""

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """A dataset, model bundle, evaluation, or labels."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("verify", VerifyConfig, _execute, argv)


def _execute(config: VerifyConfig, _: Sequence[str]) -> None:
    from segflow.verify import verify

    kind, problems = verify(config.folder)
    for problem in problems:
        tables.print_line(problem)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise JobError(f"{config.folder}: {kind} with {count}, listed above")
    tables.print_line(f"{config.folder}: {kind}, all counts and checksums as recorded")


if __name__ == "__main__":
    sys.exit(main())
