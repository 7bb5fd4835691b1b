"""One training on the devices: model, loss, metric and input put together and fitted."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from segflow.dataset import Dataset
from segflow.models.backbones import is_backbone_variable
from segflow.models.registry import build_model
from segflow.train import checkpoint
from segflow.train.callbacks import (
    AverageMovingStatistics,
    EpochRecorder,
    StopOnNonFiniteLoss,
    write_variables,
)
from segflow.train.config import TrainConfig, check_batch_size, steps_per_epoch
from segflow.train.devices import build_strategy
from segflow.train.input import evaluation_batches, training_batches
from segflow.train.losses import build_loss
from segflow.train.metrics import ConfusionMatrix
from segflow.train.optimizers import build_optimizer
from segflow.train.output import STATE_FOLDER, run_identity
from segflow.train.progress import ProgressReporter
from segflow.train.state import TrainingState


@dataclass(frozen=True)
class Fitted:
    """What a training ends with.

    Attributes:
        state: Its history.
        model: An uncompiled model with the weights of the best epoch.
    """

    state: TrainingState
    model: keras.Model


def fit(
    config: TrainConfig,
    dataset: Dataset,
    weights: NDArray[np.float32] | None,
    console: Console,
) -> Fitted:
    """Trains from the newest checkpoint in `config.output`, or from the start, to the end.

    Args:
        config: What to train, how, and where to.
        dataset: What on.
        weights: Of the classes, float32 [num_classes]; None for 1 each.
        console: Where progress goes.

    Raises:
        UsageError: The devices are not there, or do not fit the batch size.
        JobError: The loss is not finite.
    """
    keras.utils.set_random_seed(config.seed)
    strategy = build_strategy(config.devices)
    check_batch_size(config.batch_size, strategy.num_replicas_in_sync)
    folder = Path(config.output) / STATE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stored = checkpoint.load(folder)
    if stored is None or stored.state.stopped is None:
        with strategy.scope():
            model, metric = compiled(config, dataset, weights)
            state, best_weights = _fit_epochs(config, dataset, model, metric, stored, console)
    else:
        state, best_weights = stored.state, stored.best_weights
    model = _build(config, dataset)
    write_variables(model.variables, best_weights)
    return Fitted(state, model)


def _fit_epochs(
    config: TrainConfig,
    dataset: Dataset,
    model: keras.Model,
    metric: ConfusionMatrix,
    stored: checkpoint.Checkpoint | None,
    console: Console,
) -> tuple[TrainingState, checkpoint.Arrays]:
    """The state at the end and the weights of the best epoch; call it in the strategy's scope."""
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    start, best_weights = TrainingState(run_identity(config, dataset)), None
    if stored is not None:
        start, best_weights = stored.state, stored.best_weights
        write_variables(model.variables, stored.weights)
        write_variables(model.optimizer.variables, stored.optimizer)
    recorder = EpochRecorder(config, metric, start, best_weights)
    reporter = ProgressReporter(config, steps, recorder, console)
    logs = Path(config.output) / "logs"
    try:
        model.fit(
            training_batches(dataset, config, start.epochs_done),
            initial_epoch=start.epochs_done,
            epochs=config.epochs,
            steps_per_epoch=steps,
            validation_data=evaluation_batches(dataset, "val", config.batch_size),
            callbacks=[
                StopOnNonFiniteLoss(),
                AverageMovingStatistics(),
                recorder,
                reporter,
                keras.callbacks.TensorBoard(str(logs), write_graph=False),
            ],
            shuffle=False,  # the input is shuffled already
            verbose=0,
        )
    finally:
        reporter.close()
    return recorder.state, recorder.best_weights


def compiled(
    config: TrainConfig, dataset: Dataset, weights: NDArray[np.float32] | None
) -> tuple[keras.Model, ConfusionMatrix]:
    """A model with its first weights, ready for `fit`, and its metric; call it in the scope."""
    classes, ignore_id = dataset.label_map.num_classes, dataset.label_map.ignore_id
    model, metric = _build(config, dataset), ConfusionMatrix(classes, ignore_id)
    loss = build_loss(config, classes, ignore_id, weights)
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    optimizer = build_optimizer(
        config, steps, lambda v: config.backbone_rate_factor if is_backbone_variable(v) else 1.0
    )
    # XLA is slower on CPUs for these models, and crashes under MirroredStrategy there.
    model.compile(optimizer, loss, metrics=[metric], jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model, metric


def _build(config: TrainConfig, dataset: Dataset) -> keras.Model:
    return build_model(
        config.architecture,
        dataset.image_size,
        dataset.label_map.num_classes,
        config.model_parameters,
    )
