"""What pretrained weights are worth: CamVid by one recipe, from ImageNet and from nothing.

    python -m benchmarks.transfer CAMVID WEIGHTS     writes docs/results/transfer.md
    python -m benchmarks.transfer … --seeds 1 --minutes 0.5 --epochs 1     a try; only prints

CAMVID is the folder of the SegNet tutorial's CamVid with a label map `labels.json`, WEIGHTS the
backbone's file as `keras.applications` reads it. Every training follows examples/camvid.yaml with
the same budget; only `--weights` and `--seed` differ. The models are then scored on the raw
validation frames at 360 x 480. Needs an idle machine for seeds x 2 x 15 minutes.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.commands import camvid_dataset, evaluated, for_a_try, trained
from benchmarks.machine import ROOT, origin

_RECIPE = ROOT / "examples" / "camvid.yaml"
_RESULT = ROOT / "docs" / "results" / "transfer.md"
_RANDOM = "random"

Run = Mapping[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Trains, scores, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, help="instead of the recipe's")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    arguments = parser.parse_args(argv)
    budget = [] if arguments.minutes is None else [f"--max-minutes={arguments.minutes}"]
    budget += for_a_try(arguments.epochs)
    with tempfile.TemporaryDirectory(prefix="segflow-transfer-") as folder:
        dataset = camvid_dataset(arguments.camvid, Path(folder) / "dataset", "240x320")
        found: dict[str, list[Run]] = {"ImageNet": [], _RANDOM: []}
        for seed in range(arguments.seeds):
            for start, weights in (("ImageNet", arguments.weights), (_RANDOM, "none")):
                words = (f"--dataset={dataset}", f"--weights={weights}", f"--seed={seed}", *budget)
                found[start].append(_run(Path(folder) / f"{start}-{seed}", arguments.camvid, words))
    text = _text(found)
    print(text)
    if not budget:
        _RESULT.write_text(text, encoding="utf-8")
    return 0


def _run(output: Path, camvid: Path, words: Sequence[str]) -> Run:
    bundle = trained(output, f"--config={_RECIPE}", *words)
    metrics = evaluated(
        Path(f"{output}-scores"),
        f"--model={output}",
        f"--images={camvid}/val",
        f"--masks={camvid}/valannot",
    )
    training = bundle["training"]
    return {
        "mean_iou": metrics["mean_iou"],
        "stored": bundle["metrics"]["mean_iou"],
        "epochs": training["epochs_run"],
        "minutes": training["seconds"] / 60,
    }


def _text(found: Mapping[str, Sequence[Run]]) -> str:
    lines = [
        "# Pretrained against random",
        "",
        f"`python -m benchmarks.transfer`; {origin()}.",
        "",
        "CamVid, 11 classes, trained by `examples/camvid.yaml` at 240 x 320; mIoU on the raw "
        "validation frames at 360 x 480, and on the stored ones.",
        "",
        "| start | seed | mIoU at 360 x 480 | mIoU at 240 x 320 | epochs | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for start, runs in found.items():
        for seed, run in enumerate(runs):
            lines.append(
                f"| {start} | {seed} | {run['mean_iou']:.4f} | {run['stored']:.4f} | "
                f"{run['epochs']} | {run['minutes']:.1f} |"
            )
    lines.append("")
    for start, runs in found.items():
        scores = [run["mean_iou"] for run in runs]
        spread = f", standard deviation {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        lines.append(f"{start}: mean {statistics.mean(scores):.4f}{spread}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
