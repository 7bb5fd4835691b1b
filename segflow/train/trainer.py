"""`train`: from a dataset to a committed model bundle."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from segflow import storage
from segflow.console import plain_console
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.lock import lock
from segflow.models.registry import check_freezable, find_architecture, in_words, normalisation
from segflow.train.bundle import MODEL_NAME
from segflow.train.bundle_record import write_record
from segflow.train.class_weights import class_weights
from segflow.train.config import TrainConfig, check_accumulation, steps_per_epoch
from segflow.train.diagnosis import overfitting, unfinished
from segflow.train.origin import Origin
from segflow.train.output import FILES, STATE_FOLDER, check_output, finished_bundle
from segflow.train.quiet import quiet_import
from segflow.train.state import TrainingState
from segflow.train.tracking import Tracker
from segflow.train.tracking_server import require_mlflow

if TYPE_CHECKING:
    from segflow.train.fitting import Fitted

EXAMPLES_NAME = "examples.parquet"


def train(config: TrainConfig, console: Console | None = None) -> Path:
    """Trains as `config` says and commits the bundle in `config.output`.

    Everything that can be checked is checked first, without TensorFlow. An interrupted training
    is continued with `config.resume`; a finished one is left as it is.

    Args:
        config: What to train on, what, how, and where to.
        console: Where progress goes; standard error by default.

    Returns:
        The folder of the bundle.

    Raises:
        UsageError: The dataset, the settings or the output folder do not allow it.
        JobError: The training failed after it had begun.
    """
    console = console or plain_console(stderr=True)
    require_mlflow(config.mlflow)
    dataset = Dataset.load(config.dataset)
    output = Path(config.output)
    origin = Origin.find(config, dataset)
    config = config if origin is None else origin.complete(config)
    if finished_bundle(config, dataset, origin) is not None:
        console.print(f"{output}: this training is finished; nothing left to do")
    else:
        check_dataset(dataset, config)
        if config.freeze_backbone_epochs:
            check_freezable(config.architecture, config.model_parameters)
        for line in dataset.warnings():
            console.print(line, highlight=False, markup=False)
        check_output(config, dataset, origin)
        with lock(output, STATE_FOLDER):
            # Again: another training may have begun meanwhile.
            state = check_output(config, dataset, origin)
            if state is None:
                _require_weights_file(config.weights)
            _say_start(config, dataset, origin, state, console)
            _train(config, dataset, origin, console)
    shutil.rmtree(output / STATE_FOLDER, ignore_errors=True)
    return output


def check_dataset(dataset: Dataset, config: TrainConfig) -> None:
    """Raises `UsageError` unless a dataset is whole and large enough to be trained on."""
    if "val" not in dataset.splits or not dataset.splits["val"].examples:
        raise UsageError(
            f"dataset {dataset.folder}: no examples in a split 'val', which picks the best "
            "weights; ingest it with --splits train=0.8,val=0.2"
        )
    steps = steps_per_epoch(dataset.split("train").examples, config.batch_size)
    check_accumulation(config.accumulation, steps)
    dataset.check_shards(["train", "val"])


def _require_weights_file(weights: str | None) -> None:
    """Raises `UsageError` if `--weights` names a file that is not there."""
    if weights not in (None, "none", "imagenet") and not Path(weights).is_file():
        raise UsageError(
            f"--weights {weights}: no such file; expected none, imagenet, or a file of the "
            "backbone's weights"
        )


def _say_start(
    config: TrainConfig,
    dataset: Dataset,
    origin: Origin | None,
    state: TrainingState | None,
    console: Console,
) -> None:
    """Says where the training begins, unless it is at the very start."""
    if state is not None:
        line = f"{config.output}: going on after epoch {state.epochs_done}"
    elif origin is not None:
        line = origin.describe(dataset)
    elif config.resume:
        line = f"{config.output}: nothing to resume; training from the start"
    else:
        return
    console.print(line, highlight=False, markup=False)


def _train(config: TrainConfig, dataset: Dataset, origin: Origin | None, console: Console) -> None:
    weights = class_weights(config.class_weights, dataset)
    with quiet_import():  # takes seconds, so it comes after all that can be checked without it
        from segflow.train.fitting import fit
    model = in_words(config.architecture, config.model_parameters)
    console.print(f"building {model}; its first step takes longest")
    tracker = Tracker(config.mlflow, config.output, console) if config.mlflow else None
    fitted = fit(config, dataset, weights, origin, console, tracker)
    if tracker is not None:
        tracker.finish(fitted.state)
    console.print(f"scoring the weights of epoch {fitted.state.best_epoch} on val")
    _write_bundle(config, dataset, origin, fitted, None if tracker is None else tracker.run)
    for warning in (overfitting(fitted.state.rows), unfinished(config, fitted.state)):
        if warning is not None:
            console.print(warning, highlight=False, markup=False)


def _write_bundle(
    config: TrainConfig, dataset: Dataset, origin: Origin | None, fitted: "Fitted", run: str | None
) -> None:
    """Scores the best weights on the validation split, writes the files, and commits them."""
    from segflow.train.scoring import score_split, write_examples

    output, split = Path(config.output), dataset.split("val")
    found = score_split(fitted.model, dataset, split.name, config.batch_size)
    examples, model = (output / STATE_FOLDER / f".{name}" for name in (EXAMPLES_NAME, MODEL_NAME))
    write_examples(examples, found.shown, dataset.label_map.dtype)
    fitted.model.save(model)
    for path in (examples, model):
        storage.sync(path)
        storage.publish(path, output / path.name[1:])
    storage.put(output / "history.csv", fitted.state.history_csv())
    write_record(
        output,
        dataset,
        architecture=_architecture(config, fitted),
        training={**_training(config, origin, fitted), "mlflow_run": run},
        scores={**found.summary, "split": split.name, "examples": split.examples},
        calibration=found.calibration,
    )


def _architecture(config: TrainConfig, fitted: "Fitted") -> dict[str, Any]:
    from segflow.train.cost import floating_point_operations

    return {
        "name": config.architecture,
        "parameters": config.model_parameters,
        "normalisation": normalisation(config.architecture, config.model_parameters),
        "paper": find_architecture(config.architecture).paper,
        "weights": fitted.model.count_params(),
        "flops": floating_point_operations(fitted.model),
    }


def _training(config: TrainConfig, origin: Origin | None, fitted: "Fitted") -> dict[str, Any]:
    state = fitted.state
    return {
        **config.identity(),
        "epochs_run": state.epochs_done,
        "best_epoch": state.best_epoch,
        "stopped": state.stopped,
        "seconds": state.seconds,
        "input_wait": state.input_wait,
        "overfitting": overfitting(state.rows),
        "origin": None if origin is None else origin.to_dict(),
        "files": {name: state.identity[name] for name in FILES},
    }
