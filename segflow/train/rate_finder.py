"""`find-rate`: the loss of a short training while the learning rate rises."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from segflow import storage
from segflow.console import plain_console
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.models.registry import in_words
from segflow.train.class_weights import class_weights
from segflow.train.config import check_batch_size, steps_per_epoch
from segflow.train.devices import build_strategy
from segflow.train.fitting import compiled
from segflow.train.input import training_batches
from segflow.train.origin import Origin
from segflow.train.precision import precision
from segflow.train.range_test import RangeTest, rate_at
from segflow.train.rate_config import FindRateConfig

RECORD_NAME = "rates.json"
_TABLE_NAME = "rates.csv"
_LINE_EVERY_S = 10.0


def find_rate(config: FindRateConfig, console: Console | None = None) -> RangeTest:
    """Tests learning rates on the split `train` and writes what was found to `config.output`.

    Args:
        config: What to train, and the rates.
        console: Where progress goes; standard error by default.

    Raises:
        UsageError: The dataset, the settings or the output folder do not allow it.
    """
    dataset, output = Dataset.load(config.dataset), Path(config.output)
    origin = Origin.find(config, dataset)
    config = config if origin is None else origin.complete(config)
    steps_per_epoch(dataset.split("train").examples, config.batch_size)
    dataset.check_shards(["train"])
    if names := storage.names_in(output):
        raise UsageError(f"--output {output} holds {names[0]!r}; choose a new or empty folder")
    output.mkdir(parents=True, exist_ok=True)
    weights = class_weights(config.class_weights, dataset)
    test = run_test(config, dataset, weights, console or plain_console(stderr=True))
    _write(output, config, dataset, test)
    return test


def run_test(
    config: FindRateConfig,
    dataset: Dataset,
    weights: NDArray[np.float32] | None,
    console: Console,
) -> RangeTest:
    """Trains from the first weights, the rate rising by the same factor at each step.

    It ends early when the loss is no number or has grown far beyond its lowest.

    Args:
        config: What to train, and the rates.
        dataset: What on.
        weights: Of the classes, float32 [num_classes]; None for 1 each.
        console: Where progress goes.
    """
    # The rate of a training that is not frozen is looked for.
    config = dataclasses.replace(config, freeze_backbone_epochs=0, fine_tune_learning_rate=None)
    origin = Origin.find(config, dataset)
    keras.utils.set_random_seed(config.seed)
    strategy = build_strategy(config.devices)
    check_batch_size(config.batch_size, strategy.num_replicas_in_sync)
    recorder = _Recorder(config, console)
    model = in_words(config.architecture, config.model_parameters)
    console.print(f"building {model}; its first step takes longest")
    with strategy.scope(), precision(config.precision):
        model, _ = compiled(config, dataset, weights, origin)
        growth = config.highest_rate / config.lowest_rate
        model.optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(
            config.lowest_rate, config.rate_steps - 1, growth
        )
        model.fit(
            training_batches(dataset, config, 0).repeat(),
            steps_per_epoch=config.rate_steps * config.accumulation,
            callbacks=[recorder],
            shuffle=False,  # the input is shuffled already
            verbose=0,
        )
    return recorder.test


class _Recorder(keras.callbacks.Callback):
    """Notes the loss of each batch, and stops where nothing more is to be seen."""

    def __init__(self, config: FindRateConfig, console: Console) -> None:
        super().__init__()
        self._config = config
        self._console = console
        self._said = time.monotonic()
        self.test = RangeTest()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keras's loss is the mean since the last reset."""
        self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes the batch."""
        loss = float((logs or {})["loss"])
        if not math.isfinite(loss):
            self.model.stop_training = True
            return
        config = self._config
        step = batch // config.accumulation
        rate = rate_at(step, config.rate_steps, config.lowest_rate, config.highest_rate)
        self.test = self.test.with_batch(rate, loss)
        self.model.stop_training = self.test.has_grown
        if time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            self._console.print(
                f"find-rate: step {step + 1} of {config.rate_steps}, rate {rate:.2g}, "
                f"loss {loss:.4f}"
            )


def _write(output: Path, config: FindRateConfig, dataset: Dataset, test: RangeTest) -> None:
    table = test.to_csv()
    file = {"path": _TABLE_NAME, "bytes": len(table), "sha256": hashlib.sha256(table).hexdigest()}
    record = {
        **test.to_dict(),
        "dataset": {"path": config.dataset, "fingerprint": dataset.fingerprint},
        "config": config.identity(),
        "files": [file],
    }
    storage.put(output / _TABLE_NAME, table)
    storage.put(output / RECORD_NAME, storage.to_json(record))
