"""One training on the devices: model, loss, metric and input put together and fitted."""

from dataclasses import dataclass
from pathlib import Path

import keras
from rich.console import Console

from segflow.dataset import Dataset
from segflow.models.registry import build_model
from segflow.train import checkpoint
from segflow.train.callbacks import (
    AverageMovingStatistics,
    EpochRecorder,
    StopOnNonFiniteLoss,
    write_variables,
)
from segflow.train.class_weights import class_weights
from segflow.train.config import TrainConfig, parse_loss, steps_per_epoch
from segflow.train.devices import build_strategy, check_batch_size
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


def fit(config: TrainConfig, dataset: Dataset, console: Console) -> Fitted:
    """Trains from the newest checkpoint in `config.output`, or from the start, to the end.

    Raises:
        UsageError: The settings do not fit the devices or the data.
        JobError: The loss is not finite.
    """
    keras.utils.set_random_seed(config.seed)
    strategy = build_strategy(config.devices)
    check_batch_size(config.batch_size, strategy.num_replicas_in_sync)
    stored = checkpoint.load(Path(config.output) / STATE_FOLDER)
    if stored is None or stored.state.stopped is None:
        with strategy.scope():
            state, best_weights = _fit_epochs(config, dataset, stored, console)
    else:
        state, best_weights = stored.state, stored.best_weights
    model = _build(config, dataset)
    write_variables(model.variables, best_weights)
    return Fitted(state, model)


def _fit_epochs(
    config: TrainConfig, dataset: Dataset, stored: checkpoint.Checkpoint | None, console: Console
) -> tuple[TrainingState, checkpoint.Arrays]:
    """The state at the end and the weights of the best epoch; call it in the strategy's scope."""
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    metric = ConfusionMatrix(dataset.label_map.num_classes, dataset.label_map.ignore_id)
    model = _compiled(config, dataset, metric, steps)
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


def _compiled(
    config: TrainConfig, dataset: Dataset, metric: ConfusionMatrix, steps: int
) -> keras.Model:
    model = _build(config, dataset)
    label_map = dataset.label_map
    loss = build_loss(
        parse_loss(config.loss),
        label_map.num_classes,
        label_map.ignore_id,
        class_weights(config.class_weights, dataset),
    )
    optimizer = build_optimizer(config, config.epochs * steps)
    # XLA is slower on CPUs for these models, and crashes under MirroredStrategy there.
    model.compile(optimizer, loss, metrics=[metric], jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model


def _build(config: TrainConfig, dataset: Dataset) -> keras.Model:
    return build_model(
        config.architecture,
        dataset.image_size,
        dataset.label_map.num_classes,
        config.model_parameters,
    )
