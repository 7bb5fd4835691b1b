"""`segflow ensemble` from config to committed bundle, but for the command line."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from segflow import outputs, storage
from segflow.console import plain_console
from segflow.dataset import Dataset
from segflow.ensemble.config import EnsembleConfig
from segflow.ensemble.members import Members, load_dataset, load_members
from segflow.errors import UsageError
from segflow.lock import lock
from segflow.train.bundle import MODEL_NAME, RECORD_NAME, Bundle
from segflow.train.bundle_record import write_ensemble_record
from segflow.train.quiet import quiet_import
from segflow.train.trainer import EXAMPLES_NAME

if TYPE_CHECKING:
    from segflow.ensemble.building import Built

STATE_FOLDER = "_ensemble"
"""Made first and removed after the commit: it marks an unfinished ensemble."""

_PAPER = "Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474"


def ensemble(config: EnsembleConfig, console: Console | None = None) -> Path:
    """Combines bundles as `config` says and commits the bundle in `config.output`.

    Everything that can be checked is checked first, without TensorFlow. A finished ensemble is
    left as it is; one that was interrupted is begun anew.

    Args:
        config: What to combine, how, and where to.
        console: Where progress goes; standard error by default.

    Returns:
        The folder of the bundle.

    Raises:
        UsageError: The bundles do not go together, or the dataset or the output folder do not
            allow it.
    """
    console = console or plain_console(stderr=True)
    members = load_members(config)
    dataset = load_dataset(config, members)
    output = Path(config.output)
    finished = _is_finished(config, members, dataset)
    if not finished:
        outputs.require_free(output, STATE_FOLDER, "ensemble")
    if not finished or (output / STATE_FOLDER).exists():
        with lock(output, STATE_FOLDER):
            # Asked again: another command may have ended meanwhile.
            finished = _is_finished(config, members, dataset)
            if not finished:
                # So that the folder stays and marks what lies beside it, however this ends.
                storage.put(output / STATE_FOLDER / "begun", b"")
                _write(config, members, dataset, console)
            shutil.rmtree(output / STATE_FOLDER, ignore_errors=True)
    if finished:
        console.print(f"{output}: this ensemble is finished; nothing left to do")
    return output


def _is_finished(config: EnsembleConfig, members: Members, dataset: Dataset | None) -> bool:
    """Whether `--output` holds this very ensemble.

    Raises:
        UsageError: It holds another bundle, or an altered one.
    """
    if not (Path(config.output) / RECORD_NAME).is_file():
        return False
    record = Bundle.load(config.output).record
    asked = _identity(
        config.recorded(),
        [(bundle.fingerprint, bundle.temperature) for bundle in members.bundles],
        None if dataset is None else dataset.fingerprint,
    )
    found = _identity(
        record.get("ensemble") or {},
        # Ensembles of before averaged probabilities as they are.
        [(m["fingerprint"], m.get("temperature", 1)) for m in record.get("members", ())],
        (record["dataset"] or {}).get("fingerprint"),
    )
    for name, value in asked.items():
        if found.get(name) != value:
            told = f"--{name.replace('_', '-')}" if hasattr(config, name) else name
            raise UsageError(
                f"--output {config.output} holds another model: {told} is {found.get(name)} there "
                f"and {value} here; choose another folder"
            )
    return True


def _identity(
    settings: Mapping[str, Any], members: Sequence[tuple[str, float]], dataset: str | None
) -> dict[str, Any]:
    fingerprints, temperatures = ([m[i] for m in members] for i in (0, 1))
    return {
        **settings,
        "members": fingerprints,
        "temperatures": temperatures,
        "dataset": dataset,
    }


def _write(
    config: EnsembleConfig, members: Members, dataset: Dataset | None, console: Console
) -> None:
    with quiet_import():  # takes seconds, so it comes after all that can be checked without it
        from segflow.ensemble import building
        from segflow.train.cost import floating_point_operations
        from segflow.train.scoring import write_examples

    output = Path(config.output)
    built = building.build(config, members, dataset, console)
    summary = calibration = None
    if dataset is not None and built.found is not None:
        examples = output / STATE_FOLDER / f".{EXAMPLES_NAME}"
        write_examples(examples, built.found.shown, dataset.label_map.dtype)
        _publish(examples, output)
        summary = building.metrics(built.found, dataset, config)
        calibration = built.found.calibration
    model = output / STATE_FOLDER / f".{MODEL_NAME}"
    built.model.save(model)
    _publish(model, output)
    write_ensemble_record(
        output,
        members.first,
        members.image_size,
        architecture={
            "name": "ensemble",
            "parameters": {},
            "paper": _PAPER,
            "weights": built.model.count_params(),
            "flops": floating_point_operations(built.model),
        },
        ensemble={**config.recorded(), **({"fit": built.fit} if built.fit else {})},
        members=_members(members, built),
        dataset=dataset,
        scores=summary,
        calibration=calibration,
    )


def _publish(path: Path, output: Path) -> None:
    storage.sync(path)
    storage.publish(path, output / path.name[1:])


def _members(members: Members, built: "Built") -> list[dict[str, Any]]:
    rows = zip(members.bundles, built.weights, built.members_metrics, strict=True)
    return [
        {
            "path": storage.absolute(bundle.folder),
            "fingerprint": bundle.fingerprint,
            "architecture": bundle.record["architecture"],
            "training": {"seconds": bundle.record["training"].get("seconds")},
            "image_size": list(bundle.image_size),
            "weight": weight,
            "temperature": bundle.temperature,
            "metrics": metrics and {k: v for k, v in metrics.items() if k != "confusion_matrix"},
        }
        for bundle, weight, metrics in rows
    ]
