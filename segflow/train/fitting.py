"""One training on the devices: model, loss, metric and input put together and fitted."""

import functools
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
from segflow.train.averaging import AverageMovingStatistics, ValidateAverage
from segflow.train.callbacks import EpochRecorder, TrackEpochs
from segflow.train.config import TrainConfig, check_batch_size, check_xla, steps_per_epoch
from segflow.train.devices import build_strategy
from segflow.train.guards import StopOnNonFinite
from segflow.train.input import evaluation_batches, training_batches, training_keys
from segflow.train.losses import build_loss
from segflow.train.metrics import ConfusionMatrix
from segflow.train.optimizers import build_optimizer
from segflow.train.origin import Origin
from segflow.train.output import STATE_FOLDER, run_identity
from segflow.train.panels import Panels
from segflow.train.precision import precision, synchronized
from segflow.train.progress import ProgressReporter
from segflow.train.state import TrainingState
from segflow.train.steps import TrainingModel
from segflow.train.tracking import Tracker
from segflow.train.transfer import FreezeBackbone, check_backbone, continue_from
from segflow.train.variables import write_variables


@dataclass(frozen=True)
class Fitted:
    """What a training ends with.

    Attributes:
        state: Its history.
        model: An uncompiled float32 model with the weights of the best epoch.
    """

    state: TrainingState
    model: keras.Model


def fit(
    config: TrainConfig,
    dataset: Dataset,
    weights: NDArray[np.float32] | None,
    origin: Origin | None,
    console: Console,
    tracker: Tracker | None,
) -> Fitted:
    """Trains from the newest checkpoint in `config.output`, or from the start, to the end.

    Args:
        config: What to train, how, and where to.
        dataset: What on.
        weights: Of the classes, float32 [num_classes]; None for 1 each.
        origin: The bundle whose weights a new training begins with; None for fresh ones.
        console: Where progress goes.
        tracker: The run on MLflow that is to follow the epochs, if any.

    Raises:
        UsageError: The devices are not there, or do not fit the batch size; the model cannot be
            built, has no backbone to freeze, or does not fit the origin.
        JobError: The loss or the gradient is not finite.
    """
    keras.utils.set_random_seed(config.seed)
    strategy = build_strategy(config.devices)
    check_batch_size(config.batch_size, strategy.num_replicas_in_sync)
    check_xla(config.xla, strategy.num_replicas_in_sync)
    stored = checkpoint.load(Path(config.output) / STATE_FOLDER)
    if stored is None or stored.state.stopped is None:
        with strategy.scope(), precision(config.precision):
            model, metric = compiled(config, dataset, weights, origin, first=stored is None)
            start = TrainingState(run_identity(config, dataset, origin))
            recorder = EpochRecorder(config, metric, start, None)
            if stored is not None:
                recorder = EpochRecorder(config, metric, stored.state, stored.best_weights)
                write_variables(model.variables, stored.weights)
                write_variables(model.optimizer.variables, stored.optimizer)
            _fit_epochs(config, dataset, model, recorder, console, tracker)
        state, best_weights = recorder.state, recorder.best_weights
    else:
        state, best_weights = stored.state, stored.best_weights
    model = _build(config, dataset, pretrained=False)
    write_variables(model.variables, best_weights)
    return Fitted(state, model)


def _fit_epochs(
    config: TrainConfig,
    dataset: Dataset,
    model: TrainingModel,
    recorder: EpochRecorder,
    console: Console,
    tracker: Tracker | None,
) -> None:
    """Trains until the recorder says it is enough; call it in the strategy's scope."""
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    first = recorder.state.epochs_done
    reporter = ProgressReporter(config, steps, recorder, console)
    try:
        model.fit(
            training_batches(dataset, config, first),
            initial_epoch=first,
            epochs=config.epochs,
            steps_per_epoch=steps,
            validation_data=evaluation_batches(dataset, "val", config.batch_size),
            callbacks=_callbacks(config, dataset, model, recorder, reporter, tracker),
            shuffle=False,  # the input is shuffled already
            verbose=0,
        )
    finally:
        reporter.close()


def _callbacks(
    config: TrainConfig,
    dataset: Dataset,
    model: TrainingModel,
    recorder: EpochRecorder,
    reporter: ProgressReporter,
    tracker: Tracker | None,
) -> list[keras.callbacks.Callback]:
    """In the order in which Keras calls them: each says what it must come before or after."""
    logs = Path(config.output) / "logs"
    averages = config.moving_average is not None
    return [
        StopOnNonFinite(functools.partial(training_keys, dataset, config)),
        AverageMovingStatistics(),
        Panels(dataset, logs),
        recorder,
        *([] if tracker is None else [TrackEpochs(tracker, recorder)]),
        *([ValidateAverage(model.trainable_variables)] if averages else []),
        FreezeBackbone(config.freeze_backbone_epochs),
        reporter,
        keras.callbacks.TensorBoard(str(logs), write_graph=False),
    ]


def compiled(
    config: TrainConfig,
    dataset: Dataset,
    weights: NDArray[np.float32] | None,
    origin: Origin | None,
    *,
    first: bool = True,
) -> tuple[TrainingModel, ConfusionMatrix]:
    """A model with its first weights, ready for `fit`, and its metric.

    Call it, and `fit`, in the strategy's scope and at the training's `precision`. Unless `first`,
    all weights are about to be replaced, and no pretrained ones are read.
    """
    classes, ignore_id = dataset.label_map.num_classes, dataset.label_map.ignore_id
    plain, metric = _build(config, dataset, pretrained=first), ConfusionMatrix(classes, ignore_id)
    if config.freeze_backbone_epochs:
        check_backbone(plain)
    if origin is not None and first:
        continue_from(plain, origin)
    if config.sync_batch_norm:
        plain = synchronized(plain)
    model = TrainingModel(plain.inputs, plain.outputs[0], name=plain.name)
    loss = build_loss(config, classes, ignore_id, weights)
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    optimizer = build_optimizer(
        config, steps, lambda v: config.backbone_rate_factor if is_backbone_variable(v) else 1.0
    )
    # By default, Keras would take XLA: slower on CPUs for these models.
    model.compile(optimizer, loss, metrics=[metric], jit_compile=config.xla)
    model.optimizer.build(model.trainable_variables)  # Keras wraps it to scale losses for float16
    return model, metric


def _build(config: TrainConfig, dataset: Dataset, *, pretrained: bool) -> keras.Model:
    """Weights that will be replaced are not read: their file may be gone by then."""
    parameters = config.model_parameters
    if not pretrained and "weights" in parameters:
        parameters["weights"] = "none"
    return build_model(
        config.architecture, dataset.image_size, dataset.label_map.num_classes, parameters
    )
