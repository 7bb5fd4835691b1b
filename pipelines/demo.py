"""`segflow demo`: the whole chain on a data set it draws itself."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import cli, evaluate, ingest, label, tables, train
from segflow.errors import JobError, UsageError


@dataclass(frozen=True)
class DemoConfig:
    """Runs the whole chain on a data set that it draws itself, in about three minutes."""

    output: str = "./demo"
    """Folder for the drawn data and all that is made from it."""
    examples: int = 400
    """Pairs of image and mask to draw."""
    pictures: int = 40
    """Larger pictures to draw and label."""
    epochs: int = 4
    """How often training sees every example."""

    def __post_init__(self) -> None:
        for name in ("examples", "pictures", "epochs"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be 1 or more, found {getattr(self, name)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("demo", DemoConfig, _execute, argv)


def _execute(config: DemoConfig, _: Sequence[str]) -> None:
    from segflow.drawing import draw_collection, draw_dataset

    root = Path(config.output)
    drawn = root / "drawn"
    tables.print_line(f"drawing {config.examples} pairs and {config.pictures} pictures: {drawn}")
    tables.print_line("some files are broken on purpose, to show how they are rejected")
    draw_dataset(drawn, examples=config.examples)
    draw_collection(root / "pictures", pictures=config.pictures)
    for step in _steps(config, root):
        _run(step)
    tables.print_line("")
    tables.print_line("Look at:")
    for name in ("dataset", "model", "evaluation", "labels"):
        tables.print_line(f"  {root / name / 'report.html'}")


def _steps(config: DemoConfig, root: Path) -> list[list[str]]:
    dataset, model = str(root / "dataset"), str(root / "model")
    drawn = root / "drawn"
    pairs = ["--images", str(drawn / "images"), "--masks", str(drawn / "masks")]
    return [
        [
            *("ingest", *pairs, "--label-map", str(drawn / "labels.json")),
            *("--image-size", "128x160", "--augment-copies", "1", "--shard-size", "128"),
            *("--output", dataset),
        ],
        [
            *("train", "--dataset", dataset, "--epochs", str(config.epochs)),
            *("--resume", "--output", model),  # so that an interrupted demo goes on
        ],
        [
            *("evaluate", "--model", model, "--dataset", dataset, "--split", "test"),
            *("--output", str(root / "evaluation")),
        ],
        [
            *("label", "--model", model, "--images", str(root / "pictures")),
            *("--output", str(root / "labels"), "--shard-size", "16"),
        ],
    ]


def _run(step: Sequence[str]) -> None:
    command, *arguments = step
    tables.print_line("")
    tables.print_line(f"$ segflow {shlex.join(step)}")
    programs = {"ingest": ingest, "train": train, "evaluate": evaluate, "label": label}
    if programs[command].main(arguments):
        raise JobError(f"the step {command!r} failed; its message stands above")


if __name__ == "__main__":
    sys.exit(main())
