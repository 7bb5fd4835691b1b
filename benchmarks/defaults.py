"""What `segflow train` gives with nothing but a dataset: membranes, whales, and the drawn set.

    python -m benchmarks.defaults DATA     writes docs/results/defaults.md
    python -m benchmarks.defaults DATA --epochs 1     a try; only prints

DATA holds `membranes` (ISBI 2012: image/, label/) and `whales` (keras-unet's photos with masks of
the same stem in one folder). Every set is ingested at 256 x 256, or at its own size where that is
smaller, and trained with the defaults, but for a limit of ten minutes. Scores are of the best
epoch on the validation split, beside those of a model that sees nothing and always answers the
class that is commonest there.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import segflow, trained
from benchmarks.machine import ROOT, origin
from segflow.drawing import draw_dataset
from segflow.scores import always_commonest

_RESULT = ROOT / "docs" / "results" / "defaults.md"
_MINUTES = 10
_MEMBRANES = {
    "classes": [
        {"id": 0, "name": "membrane", "color": [0, 0, 0], "raw_ids": [0]},
        {"id": 1, "name": "cell", "color": [230, 230, 230], "raw_ids": [255]},
    ],
    "ignore_id": 254,
}
_WHALES = {
    "classes": [
        {"id": 0, "name": "water", "color": [40, 90, 160]},
        {"id": 1, "name": "whale", "color": [230, 120, 60]},
    ],
    "ignore_id": 255,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Ingests, trains, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args(argv)
    length = [f"--max-minutes={_MINUTES}"]
    length += [f"--epochs={arguments.epochs}"] if arguments.epochs else []
    bundles = {}
    with tempfile.TemporaryDirectory(prefix="segflow-defaults-") as folder:
        sets = _sets(arguments.data, Path(folder))
        for name, words in sets.items():
            dataset = Path(folder) / f"{name}-dataset"
            segflow("ingest", *words, f"--output={dataset}")
            bundles[name] = trained(Path(folder) / name, f"--dataset={dataset}", *length)
    text = table(bundles, {name: _told(words) for name, words in sets.items()})
    print(text)
    if arguments.epochs is None:
        _RESULT.write_text(text, encoding="utf-8")
    return 0


def _sets(data: Path, folder: Path) -> Mapping[str, Sequence[str]]:
    """By name, what `segflow ingest` is told."""
    drawn = draw_dataset(folder / "drawn", examples=400)
    membranes, whales = folder / "membranes.json", folder / "whales.json"
    membranes.write_text(json.dumps(_MEMBRANES), encoding="utf-8")
    whales.write_text(json.dumps(_WHALES), encoding="utf-8")
    return {
        "membranes": (
            *(f"--images={data}/membranes/image", f"--masks={data}/membranes/label"),
            *("--layout=paired", f"--label-map={membranes}", "--image-size=256x256"),
            "--splits=train=0.8,val=0.2",
        ),
        "whales": (
            *(f"--images={data}/whales/*.jpg", f"--masks={data}/whales/*.png"),
            *("--layout=paired", f"--label-map={whales}", "--image-size=256x256"),
            *("--splits=train=0.8,val=0.2", "--max-reject-fraction=0.2"),  # 20 have no mask
        ),
        "drawn shapes": (
            *(f"--images={drawn.images}", f"--masks={drawn.masks}", "--layout=paired"),
            *(f"--label-map={drawn.label_map}", "--image-size=128x160"),
        ),
    }


def _told(words: Sequence[str]) -> str:
    """The flags of `segflow ingest` but for files and folders, which are this machine's."""
    return " ".join(word for word in words if "/" not in word)


def commonest_mean_iou(confusion: Sequence[Sequence[int]]) -> float:
    """The mean IoU of always answering the commonest class.

    Args:
        confusion: Pixels [n][n] of any model on the images; rows are truth.
    """
    return always_commonest([sum(row) for row in confusion])[1]


def table(bundles: Mapping[str, Mapping[str, Any]], told: Mapping[str, str]) -> str:
    """The table as Markdown, of `bundle.json` and the flags of ingest by the data's name."""
    lines = [
        "# Defaults alone",
        "",
        f"`python -m benchmarks.defaults`; {origin()}.",
        "",
        f"`segflow train --dataset … --output … --max-minutes {_MINUTES}`, nothing else; the best "
        "epoch on the validation split. The commonest class: mean IoU of a model that always "
        "answers it.",
        "",
        "| data | validation images | mIoU | commonest class | IoU by class | minutes | epochs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, bundle in bundles.items():
        metrics, training = bundle["metrics"], bundle["training"]
        ious = ", ".join(
            f"{label} {'-' if of['iou'] is None else format(of['iou'], '.3f')}"
            for label, of in metrics["per_class"].items()
        )
        lines.append(
            f"| {name} | {metrics['examples']} | {metrics['mean_iou']:.3f} | "
            f"{commonest_mean_iou(bundle['confusion_matrix']):.3f} | {ious} | "
            f"{training['seconds'] / 60:.1f} | {training['epochs_run']} |"
        )
    lines += ["", "Ingested with, besides images, masks and label map:", ""]
    lines += [f"- {name}: `{flags}`" for name, flags in told.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
