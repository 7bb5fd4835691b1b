"""What segflow's trainer costs a step, over bare Keras on the same batches.

    python -m benchmarks.training            writes docs/results/training.md
    python -m benchmarks.training --quick    one short round; only prints

The peers are what the Keras guides write, `keras.optimizers.Adam` and Keras's own cross-entropy
with an ignored class in

- a bare loop: one compiled function that computes logits, loss and gradient, and applies it;
- `model.fit`.

They have no metric, guard, schedule, checkpoint or log, and share with segflow only the model, the
default U-Net, and the input. segflow's loss is `ce`, the same mathematics; nothing is compiled by
XLA. All train on the same drawn dataset, in turn. An epoch is timed over its steps, segflow's as
`images_per_second` in `history.csv`. Its validation is not timed, and meanwhile its input reads
ahead; so the peers pause between epochs until theirs has read as far.

A shared machine is at times slower by a tenth for minutes. So each round, in which all have their
turn, gives a ratio, and the median of the ratios counts.

Unless it is quick, the exit code is 1 if a step of segflow takes 3 % longer than the bare loop's.
"""

import argparse
import csv
import dataclasses
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from benchmarks.drawn import drawn_dataset
from benchmarks.machine import ROOT, origin
from segflow.dataset import Dataset
from segflow.models.registry import build_model
from segflow.train.config import TrainConfig, steps_per_epoch
from segflow.train.input import training_batches
from segflow.train.trainer import train

Rates = Mapping[str, Sequence[Sequence[float]]]
"""By trainer and round: images a second of each epoch but the first, which traces the graph."""

_SIZE = (128, 160)
_OURS, _LOOP, _FIT = "segflow", "a bare loop", "model.fit"
_MOST_OVERHEAD = 0.03
_PAUSE_SECONDS = 2.0  # more than the input takes to fill its buffers
_RESULT = ROOT / "docs" / "results" / "training.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    quick = parser.parse_args(argv).quick
    examples, epochs, rounds = (40, 2, 1) if quick else (240, 3, 5)
    with tempfile.TemporaryDirectory(prefix="segflow-training-") as folder:
        dataset = drawn_dataset(Path(folder), examples, _SIZE, broken=False)
        config = TrainConfig(str(dataset.folder), "", loss="ce", epochs=epochs)
        rates, waits = _measured(dataset, config, Path(folder), rounds)
    text = _text(rates, waits, config)
    print(text)
    if quick:
        return 0
    _RESULT.write_text(text, encoding="utf-8")
    return 0 if median(overheads(rates, _LOOP)) < _MOST_OVERHEAD else 1


def overheads(rates: Rates, peer: str) -> list[float]:
    """How much longer a step of segflow takes than one of a peer, in each round."""
    rounds = zip(rates[peer], rates[_OURS], strict=True)
    return [median(theirs) / median(ours) - 1 for theirs, ours in rounds]


def _measured(
    dataset: Dataset, config: TrainConfig, folder: Path, rounds: int
) -> tuple[dict[str, list[list[float]]], list[float]]:
    """The rates of all trainers, and the shares of segflow's steps that wait for input."""
    rates: dict[str, list[list[float]]] = {_OURS: [], _LOOP: [], _FIT: []}
    waits: list[float] = []
    for number in range(rounds):
        own = dataclasses.replace(config, output=str(folder / f"model-{number}"))
        train(own, Console(quiet=True))
        rows = _history(Path(own.output))
        rates[_OURS].append([float(row["images_per_second"]) for row in rows])
        waits += [float(row["input_wait"]) for row in rows]
        rates[_LOOP].append(_bare_loop(dataset, config))
        rates[_FIT].append(_keras_fit(dataset, config))
    return rates, waits


def _history(output: Path) -> list[dict[str, str]]:
    with (output / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[1:]


def _peer(dataset: Dataset, config: TrainConfig) -> tuple[keras.Model, Any, Any, int]:
    """Model, optimiser, loss, and the steps of an epoch."""
    label_map = dataset.label_map
    keras.utils.set_random_seed(config.seed)
    model = build_model(config.architecture, _SIZE, label_map.num_classes, config.model_parameters)
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=label_map.ignore_id
    )
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    return model, keras.optimizers.Adam(config.learning_rate), loss, steps


def _bare_loop(dataset: Dataset, config: TrainConfig) -> list[float]:
    model, optimizer, loss_of, steps = _peer(dataset, config)
    optimizer.build(model.trainable_variables)

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
        time.sleep(_PAUSE_SECONDS)
    return rates[1:]


def _keras_fit(dataset: Dataset, config: TrainConfig) -> list[float]:
    model, optimizer, loss, steps = _peer(dataset, config)
    model.compile(optimizer, loss, jit_compile=False)
    clock = _Clock(steps * config.batch_size)
    model.fit(
        training_batches(dataset, config, 0),
        epochs=config.epochs,
        steps_per_epoch=steps,
        callbacks=[clock],
        shuffle=False,  # the input is shuffled already
        verbose=0,
    )
    return clock.rates[1:]


class _Clock(keras.callbacks.Callback):
    """Notes the images a second of each epoch, and pauses after it."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.rates: list[float] = []
        self._images = images
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.rates.append(self._images / (time.perf_counter() - self._began))
        time.sleep(_PAUSE_SECONDS)


def _text(rates: Rates, waits: Sequence[float], config: TrainConfig) -> str:
    rounds = rates[_OURS]
    lines = [
        "# The trainer beside bare Keras",
        "",
        f"`python -m benchmarks.training`; {origin()}.",
        "",
        f"The default U-Net at {_SIZE[0]} x {_SIZE[1]} with cross-entropy, batches of "
        f"{config.batch_size}; {len(rounds)} rounds of {len(rounds[0])} epochs of each, in turn, "
        "all from segflow's input. The peers have Keras's Adam and loss, and neither metric nor "
        "guard.",
        "",
        "| trainer | images/s, median | range | a step of segflow takes longer by | range |",
        "|---|---|---|---|---|",
        *(_row(name, rates) for name in rates),
        "",
        "What it takes longer is the median over the rounds, and their range; of a step, "
        f"{median(waits):.1%} is waiting for input.",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, rates: Rates) -> str:
    found = [rate for epochs in rates[name] for rate in epochs]
    cells = [name, f"{median(found):.1f}", f"{min(found):.1f}-{max(found):.1f}"]
    over = [] if name == _OURS else overheads(rates, name)
    if over:
        cells += [f"{median(over):+.1%}", f"{min(over):+.1%} to {max(over):+.1%}"]
    return f"| {' | '.join([*cells, '', ''][:5])} |"


if __name__ == "__main__":
    sys.exit(main())
