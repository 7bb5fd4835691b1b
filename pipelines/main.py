"""`segflow`: hands over to the program of the sub-command."""

import sys
from collections.abc import Sequence
from importlib import import_module

from segflow import __version__

COMMANDS = {
    "ingest": "images + masks to validated, resized, augmented TFRecords (Beam)",
    "train": "a model on a dataset, on all local GPUs (MirroredStrategy)",
    "find-rate": "a learning rate to train with, from a short training",
    "evaluate": "scores of a model on a dataset split or on image/mask pairs (Beam)",
    "bundle": "a model bundle of a Keras file, to label and evaluate with",
    "ensemble": "several models as one, with equal, given or fitted weights",
    "label": "masks and class areas for every image of a collection (Beam)",
    "compare": "what changed between two runs of labels, pixel by pixel",
    "export": "masks as PNG, COCO, VOC or CVAT files, for labelling tools",
    "explain": "where a row of a table comes from; makes it again, and compares",
    "report": "(re)draws the HTML report of any output folder, or compares models",
    "verify": "re-reads any output folder and checks counts and checksums",
    "example": "makes an example of a dataset again from its sources, and compares",
    "demo": "the whole chain on a data set it draws itself, in three minutes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the sub-command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help"):
        print(_help())  # noqa: T201
        return 0 if arguments else 2
    if command == "--version":
        print(f"segflow {__version__}")  # noqa: T201
        return 0
    if command not in COMMANDS:
        print(f"segflow: {_unknown(command)}", file=sys.stderr)  # noqa: T201
        return 2
    return int(import_module(f"pipelines.{command.replace('-', '_')}").main(arguments[1:]))


def _help() -> str:
    lines = [f"  {name:<10} {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: segflow COMMAND [flags]",
            "",
            "Prepares segmentation data, trains models on it, and labels images in bulk.",
            "",
            *lines,
            "",
            "segflow COMMAND --help lists the flags; --config FILE.yaml may hold any of them.",
            "Flags that a Beam command does not know go to Beam: --runner=FlinkRunner …",
            "Exit codes: 0 done, 1 failed, 2 bad input, 3 too many rejects, 130 interrupted.",
        ]
    )


def _unknown(command: str) -> str:
    from difflib import get_close_matches

    closest = get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean {closest[0]!r}?" if closest else f"known: {', '.join(COMMANDS)}"
    return f"unknown command {command!r}; {hint}"


if __name__ == "__main__":
    sys.exit(main())
