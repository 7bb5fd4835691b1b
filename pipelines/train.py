"""`segflow train`: a model on a dataset, on all local devices."""

import sys
from collections.abc import Sequence

from pipelines import cli, tables
from segflow import storage
from segflow.train.config import TrainConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("train", TrainConfig, _execute, argv)


def _execute(config: TrainConfig, _: Sequence[str]) -> None:
    from segflow.train.trainer import train  # heavy: --help does without

    folder = train(config)
    record = storage.read_json(folder / "bundle.json")
    metrics = record["metrics"]
    tables.print_scores(f"model {folder}, split {metrics['split']}", metrics)
    tables.print_report(folder)


if __name__ == "__main__":
    sys.exit(main())
