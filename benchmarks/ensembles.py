"""Whether an ensemble beats its best member: three different models on CamVid.

    python -m benchmarks.ensembles CAMVID WEIGHTS     writes docs/results/ensembles.md
    python -m benchmarks.ensembles … --epochs 1     a try; only prints

The members differ in architecture, share a dataset and a number of epochs, and are averaged with
equal weights and with weights fitted on the training split, which the scored validation split has
no part in. The exit code is 1 unless an ensemble is better than every member. Takes half an hour
on two cores.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import camvid_dataset, evaluated, for_a_try, segflow, trained
from benchmarks.machine import ROOT, origin

_RESULT = ROOT / "docs" / "results" / "ensembles.md"
_EPOCHS = 8
_MEMBERS = ("fpn", "pspnet", "deeplab_v3_plus")

Scores = Mapping[str, Mapping[str, Any]]
"""`metrics.json` by model: the members, and ensembles by the rule of their weights."""


def main(argv: Sequence[str] | None = None) -> int:
    """Trains, combines, scores, prints, and writes the table; 1 if no ensemble is the best."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ensembles", description=__doc__)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("weights", type=Path, help="of a MobileNet")
    parser.add_argument("--epochs", type=int, default=_EPOCHS, help="of each member")
    arguments = parser.parse_args(argv)
    tried = arguments.epochs != _EPOCHS
    words = ("--backbone=mobilenet", f"--weights={arguments.weights}")
    words += (f"--epochs={_EPOCHS}", *for_a_try(arguments.epochs if tried else None))
    with tempfile.TemporaryDirectory(prefix="segflow-ensembles-") as folder:
        dataset = camvid_dataset(arguments.camvid, Path(folder) / "dataset", "240x320")
        scores = _measured(Path(folder), dataset, words)
    text = table(scores, arguments.epochs)
    print(text)
    if not tried:
        _RESULT.write_text(text, encoding="utf-8")
    return 0 if _gain(scores) > 0 else 1


def _measured(folder: Path, dataset: Path, words: Sequence[str]) -> Scores:
    """Trains the members, told `words`, averages them, and scores all on the validation split."""
    recipe = (f"--config={ROOT / 'examples' / 'camvid.yaml'}", f"--dataset={dataset}")
    for name in _MEMBERS:
        trained(folder / name, *recipe, f"--architecture={name}", *words)
    for rule in ("equal", "fitted"):
        segflow(
            *("ensemble", *(f"--model={folder / name}" for name in _MEMBERS)),
            *(f"--member-weights={rule}", f"--output={folder / rule}"),
            *(f"--dataset={dataset}", "--split=train"),
        )
    return {
        name: evaluated(
            folder / f"{name}-scores",
            *(f"--model={folder / name}", f"--dataset={dataset}", "--split=val"),
        )
        for name in (*_MEMBERS, "equal", "fitted")
    }


def _best(scores: Scores) -> float:
    return max(float(scores[name]["mean_iou"]) for name in _MEMBERS)


def _gain(scores: Scores) -> float:
    """By how much the best ensemble's mean IoU exceeds the best member's."""
    ensembles = (of["mean_iou"] for name, of in scores.items() if name not in _MEMBERS)
    return max(ensembles) - _best(scores)


def table(scores: Scores, epochs: int) -> str:
    """The table as Markdown; `epochs` is what each member was given."""
    lines = [
        "# An ensemble and its members",
        "",
        f"`python -m benchmarks.ensembles`; {origin()}.",
        "",
        "CamVid, 11 classes, validation split at 240 x 320; members by `examples/camvid.yaml` with "
        f"another architecture each, {epochs} epochs each. Intervals are of 95 %, over images.",
        "",
        "| model | mIoU | interval | pixel accuracy | interval | against the best member |",
        "|---|---|---|---|---|---|",
    ]
    for name, metrics in scores.items():
        label = name if name in _MEMBERS else f"ensemble, {name} weights"
        cells = (
            f"{metrics[score]:.4f} | {_interval(metrics['intervals'][score])}"
            for score in ("mean_iou", "pixel_accuracy")
        )
        gain = metrics["mean_iou"] - _best(scores)
        lines.append(f"| {label} | {' | '.join(cells)} | {gain:+.4f} |")
    gain = _gain(scores)
    verdict = (
        f"beats its best member by {gain:.4f}" if gain > 0 else "does not beat its best member"
    )
    return "\n".join([*lines, "", f"The better ensemble {verdict} in mean IoU."]) + "\n"


def _interval(ends: Sequence[float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else "-"


if __name__ == "__main__":
    sys.exit(main())
