"""`segflow train`: a model on a dataset, on all local devices; or many, with `--sweep`."""

import sys
from collections.abc import Sequence

from pipelines import cli, sweeping, tables
from segflow import storage
from segflow.console import plain_console
from segflow.train.sweep.config import TrainCommandConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("train", TrainCommandConfig, _execute, argv)


def _execute(config: TrainCommandConfig, _: Sequence[str]) -> None:
    if config.sweep is not None:
        sweeping.execute(config, config.sweep)
        return
    from segflow.train.tracking import log_bundle
    from segflow.train.trainer import train  # heavy: --help does without

    folder = train(config.training())
    record = storage.read_json(folder / "bundle.json")
    metrics, epoch = record["metrics"], record["training"]["best_epoch"]
    tables.print_scores(
        f"model {folder}, weights of epoch {epoch}, split {metrics['split']}", metrics
    )
    tables.print_leaks(config.dataset)
    tables.print_report(folder)
    if config.mlflow is not None:
        log_bundle(config.mlflow, folder, plain_console(stderr=True))


if __name__ == "__main__":
    sys.exit(main())
