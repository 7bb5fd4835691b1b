"""`segflow evaluate`: scores of a bundle on a dataset split or on raw image/mask pairs."""

import sys
from collections.abc import Sequence

from pipelines import cli, tables
from segflow.evaluate.config import EvaluateConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("evaluate", EvaluateConfig, _execute, argv, takes_beam_flags=True)


def _execute(config: EvaluateConfig, beam_flags: Sequence[str]) -> None:
    from segflow.evaluate.command import evaluate  # heavy: --help does without

    metrics = evaluate(config, beam_flags)
    tables.print_scores(f"evaluation {config.output}, {metrics['examples']} images", metrics)
    tables.print_inputs(metrics["inputs"])
    if config.dataset is not None:
        tables.print_leaks(config.dataset)
    tables.print_report(config.output)


if __name__ == "__main__":
    sys.exit(main())
