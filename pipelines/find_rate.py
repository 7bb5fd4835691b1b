"""`segflow find-rate`: which learning rate to train with."""

import sys
from collections.abc import Sequence

from pipelines import cli, tables
from segflow.train.rate_config import FindRateConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("find-rate", FindRateConfig, _execute, argv)


def _execute(config: FindRateConfig, _: Sequence[str]) -> None:
    from segflow.train.quiet import quiet_import

    with quiet_import():  # heavy: --help does without
        from segflow.train.rate_finder import find_rate
    test = find_rate(config)
    tables.print_line(test.advice())
    tables.print_report(config.output)


if __name__ == "__main__":
    sys.exit(main())
