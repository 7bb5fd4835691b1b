"""Whether an ensemble beats its best member: three different models on CamVid.

    python -m benchmarks.ensembles CAMVID WEIGHTS     writes docs/results/ensembles.md
    python -m benchmarks.ensembles … --epochs 1 --minutes 1     a try; only prints

The members differ in architecture and in start, share a dataset and a budget each, and are
averaged with equal weights and with weights fitted on the training split, which the scored
validation split has no part in. Needs an idle machine for three times the budget.
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
_MEMBERS = {
    "unet": ("--architecture=unet",),
    "fpn": ("--architecture=fpn",),
    "deeplab_v3_plus": ("--architecture=deeplab_v3_plus",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Trains, combines, scores, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ensembles", description=__doc__)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("weights", type=Path, help="of a MobileNet")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, each member")
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args(argv)
    length = [f"--max-minutes={arguments.minutes}", *for_a_try(arguments.epochs)]
    with tempfile.TemporaryDirectory(prefix="segflow-ensembles-") as folder:
        dataset = camvid_dataset(arguments.camvid, Path(folder) / "dataset", "240x320")
        own = ("--backbone=mobilenet", f"--weights={arguments.weights}", *length)
        models = {name: Path(folder) / name for name in _MEMBERS}
        for name, words in _MEMBERS.items():
            trained(
                models[name],
                f"--config={ROOT / 'examples' / 'camvid.yaml'}",
                f"--dataset={dataset}",
                *words,
                *own,
            )
        combined = {rule: Path(folder) / rule for rule in ("equal", "fitted")}
        for rule, output in combined.items():
            members = [f"--model={path}" for path in models.values()]
            segflow(
                *("ensemble", *members, f"--member-weights={rule}", f"--output={output}"),
                *(f"--dataset={dataset}", "--split=train"),
            )
        scores = {
            name: evaluated(
                Path(folder) / f"{name}-scores",
                f"--model={path}",
                f"--dataset={dataset}",
                "--split=val",
            )
            for name, path in {**models, **combined}.items()
        }
    text = _text(scores)
    print(text)
    if arguments.epochs is None:
        _RESULT.write_text(text, encoding="utf-8")
    return 0


def _text(scores: Mapping[str, Mapping[str, Any]]) -> str:
    best = max(scores[name]["mean_iou"] for name in _MEMBERS)
    lines = [
        "# An ensemble and its members",
        "",
        f"`python -m benchmarks.ensembles`; {origin()}.",
        "",
        "CamVid, 11 classes, validation split at 240 x 320; members by `examples/camvid.yaml` with "
        "another architecture each.",
        "",
        "| model | mIoU | pixel accuracy | against the best member |",
        "|---|---|---|---|",
    ]
    for name, metrics in scores.items():
        label = name if name in _MEMBERS else f"ensemble, {name} weights"
        lines.append(
            f"| {label} | {metrics['mean_iou']:.4f} | {metrics['pixel_accuracy']:.4f} | "
            f"{metrics['mean_iou'] - best:+.4f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
