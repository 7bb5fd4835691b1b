"""What `--output` may hold when a training begins, and what it holds already."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segflow import hashing, outputs
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.train import checkpoint
from segflow.train.bundle import RECORD_NAME, Bundle
from segflow.train.class_weights import class_weights
from segflow.train.config import TrainConfig
from segflow.train.origin import Origin
from segflow.train.state import TrainingState

STATE_FOLDER = "_train"
"""Made first and removed after the commit: it marks an unfinished training."""

FILES = ("class_weights", "weights_sha256")
"""What was read from files that settings name, by content: recorded beside the settings."""


def finished_bundle(config: TrainConfig, dataset: Dataset, origin: Origin | None) -> Bundle | None:
    """The bundle in `--output`, if this very training has been finished there.

    Raises:
        UsageError: The folder holds the bundle of another training, or an altered one.
    """
    if not (Path(config.output) / RECORD_NAME).is_file():
        return None
    bundle = Bundle.load(config.output)
    if bundle.is_ensemble or bundle.is_adopted:
        what = "an ensemble" if bundle.is_ensemble else "the bundle of a Keras file"
        raise UsageError(f"--output {config.output} holds {what}; choose another folder")
    training = bundle.record["training"]
    found = {
        **training,
        **training.get("files", {}),
        "dataset": bundle.record["dataset"]["fingerprint"],
        "from_bundle": (training.get("origin") or {}).get("fingerprint"),
    }
    asked = {**config.identity(), **_sources(config, dataset, origin)}
    _refuse_other(config.output, "the bundle of another training", found, asked)
    return bundle


def check_output(
    config: TrainConfig, dataset: Dataset, origin: Origin | None
) -> TrainingState | None:
    """Checks that an output folder without a bundle is free for this training.

    Returns:
        The state of the unfinished training that is to be resumed there, if any.

    Raises:
        UsageError: The folder holds something else, or an unfinished training that is not to be
            resumed or has other settings.
    """
    output = Path(config.output)
    outputs.require_free(output, STATE_FOLDER, "training")
    state = checkpoint.load_state(output / STATE_FOLDER)
    if state is not None:
        if not config.resume:
            raise UsageError(
                f"--output {output} holds an unfinished training of {state.epochs_done} epochs; "
                "go on with --resume, or choose another folder"
            )
        asked = run_identity(config, dataset, origin)
        _refuse_other(config.output, "a training with other settings", state.identity, asked)
    return state


def run_identity(config: TrainConfig, dataset: Dataset, origin: Origin | None) -> dict[str, Any]:
    """What a continued training must share with its beginning.

    The libraries that decide the bits of the weights are part of it.
    """
    versions = {f"the version of {name}": version(name) for name in ("keras", "tensorflow")}
    return {**config.resume_identity(), **_sources(config, dataset, origin), **versions}


def _sources(config: TrainConfig, dataset: Dataset, origin: Origin | None) -> dict[str, Any]:
    """What is trained on and what from, by content: it may lie elsewhere now.

    Raises:
        UsageError: The class weights cannot be read.
    """
    weights = class_weights(config.class_weights, dataset)
    return {
        "dataset": dataset.fingerprint,
        "from_bundle": None if origin is None else origin.bundle.fingerprint,
        "class_weights": None if weights is None else weights.tolist(),
        "weights_sha256": _sha256(config.model_parameters.get("weights")),
    }


def _sha256(weights: str | None) -> str | None:
    """Of a file of pretrained weights; None if they are none, Keras's own, or not there now."""
    return hashing.sha256_file(weights) if weights and Path(weights).is_file() else None


def _refuse_other(
    output: str, what: str, found: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    for name, value in _with_known_weights(found, asked).items():
        if found.get(name) != value:
            raise UsageError(
                f"--output {output} holds {what}: {name} is {found.get(name)} there and "
                f"{value} here; choose another folder"
            )


def _with_known_weights(found: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """`asked`, with pretrained weights that are those of `found` named as they are there.

    They are if their content is the same, or if a file of the same name is gone by now: its
    weights are in the training already.
    """
    there, here = found.get("weights_sha256"), asked["weights_sha256"]
    if here == there or (here is None and asked.get("weights") == found.get("weights")):
        same = {"weights": found.get("weights"), "weights_sha256": there}
        return {**asked, **(same if there else {})}
    return dict(asked)
