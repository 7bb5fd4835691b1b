"""`segflow bundle`: makes a model bundle of a Keras file."""

import sys
from collections.abc import Sequence

from pipelines import cli, tables
from segflow import storage
from segflow.bundle.config import BundleConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("bundle", BundleConfig, _execute, argv)


def _execute(config: BundleConfig, _: Sequence[str]) -> None:
    from segflow.bundle.command import make_bundle

    folder = make_bundle(config)
    record = storage.read_json(folder / "bundle.json")
    height, width = record["image_size"]
    tables.print_line(
        f"bundle {folder}: {len(record['class_names'])} classes, {height}x{width} pixels, "
        f"{record['architecture']['weights']:,} weights, not scored"
    )
    if record["source"]["found"] == "probabilities":
        tables.print_line(
            "the file gives probabilities: the bundle's logits are their logarithms, which give "
            "the same probabilities again"
        )
    tables.print_report(folder)


if __name__ == "__main__":
    sys.exit(main())
