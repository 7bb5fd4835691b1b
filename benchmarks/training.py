"""What segflow's trainer costs a step, over a bare Keras loop on the same batches.

    python -m benchmarks.training            writes docs/results/training.md
    python -m benchmarks.training --quick    one short round; only prints

The bare loop is what the Keras guides write: one compiled function that computes logits, loss and
gradient, and applies it; no metric, no guard, no checkpoint, no log. Both train the default U-Net
on the same drawn dataset through the same input, in turn. An epoch of segflow is timed over its
steps, without its validation, as `images_per_second` in `history.csv`.
"""

import argparse
import csv
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from benchmarks.machine import ROOT, origin
from segflow.data.command import ingest
from segflow.data.config import IngestConfig
from segflow.dataset import Dataset
from segflow.drawing import draw_dataset
from segflow.models.registry import build_model
from segflow.train.config import TrainConfig, steps_per_epoch
from segflow.train.input import training_batches
from segflow.train.losses import build_loss
from segflow.train.optimizers import build_optimizer
from segflow.train.trainer import train

_SIZE = (128, 160)
_RESULT = ROOT / "docs" / "results" / "training.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    quick = parser.parse_args(argv).quick
    examples, epochs, rounds = (40, 2, 1) if quick else (320, 4, 5)
    ours, bare, waits = [], [], []
    with tempfile.TemporaryDirectory(prefix="segflow-training-") as folder:
        dataset = _dataset(Path(folder), examples)
        config = TrainConfig(str(dataset.folder), "", epochs=epochs)
        for number in range(rounds):
            own = dataclasses.replace(config, output=str(Path(folder) / f"model-{number}"))
            train(own, Console(quiet=True))
            rows = _history(Path(own.output))
            ours += [float(row["images_per_second"]) for row in rows]
            waits += [float(row["input_wait"]) for row in rows]
            bare += _bare_loop(dataset, config)
    text = _text(ours, bare, waits, config)
    print(text)
    if not quick:
        _RESULT.write_text(text, encoding="utf-8")
    return 0


def _dataset(folder: Path, examples: int) -> Dataset:
    drawn = draw_dataset(folder / "drawn", examples=examples, size=_SIZE, broken=False)
    config = IngestConfig(
        images=str(drawn.images),
        masks=str(drawn.masks),
        label_map=str(drawn.label_map),
        output=str(folder / "dataset"),
        image_size=f"{_SIZE[0]}x{_SIZE[1]}",
    )
    ingest(config, ("--direct_running_mode=in_memory",), Console(quiet=True))
    return Dataset.load(config.output)


def _history(output: Path) -> list[dict[str, str]]:
    """Every epoch but the first, which traces the graph."""
    with (output / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[1:]


def _bare_loop(dataset: Dataset, config: TrainConfig) -> list[float]:
    """Images a second of each epoch but the first."""
    classes, ignore_id = dataset.label_map.num_classes, dataset.label_map.ignore_id
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    keras.utils.set_random_seed(config.seed)
    model = build_model(config.architecture, _SIZE, classes, config.model_parameters)
    optimizer = build_optimizer(config, steps, lambda _: 1.0)
    optimizer.build(model.trainable_variables)
    loss_of = build_loss(config, classes, ignore_id, None)

    @tf.function
    def step(images: Any, masks: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(masks, model(images, training=True))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    batches = iter(training_batches(dataset, config, 0))
    rates = []
    for _ in range(config.epochs):
        began = time.perf_counter()
        for _ in range(steps):
            loss = step(*next(batches))
        float(loss)
        rates.append(steps * config.batch_size / (time.perf_counter() - began))
    return rates[1:]


def _text(
    ours: Sequence[float], bare: Sequence[float], waits: Sequence[float], config: TrainConfig
) -> str:
    middle = {"segflow": statistics.median(ours), "a bare loop": statistics.median(bare)}
    overhead = middle["a bare loop"] / middle["segflow"] - 1
    best = max(bare) / max(ours) - 1
    lines = [
        "# The trainer beside a bare loop",
        "",
        f"`python -m benchmarks.training`; {origin()}.",
        "",
        f"The default U-Net at {_SIZE[0]} x {_SIZE[1]}, batches of {config.batch_size}; "
        f"{len(ours)} epochs of each, in turn.",
        "",
        "| trainer | images/s, median | range |",
        "|---|---|---|",
        *(
            f"| {name} | {middle[name]:.1f} | {min(rates):.1f}-{max(rates):.1f} |"
            for name, rates in (("segflow", ours), ("a bare loop", bare))
        ),
        "",
        f"A step takes {overhead:+.1%} longer by the medians, {best:+.1%} by the best epochs. Of "
        f"segflow's steps, {statistics.median(waits):.1%} is waiting for input.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
