"""Where a model comes from: its bundle, its training, its dataset, and the sources of that."""

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from segflow.dataset import RECORD_NAME, Dataset, recorded_places
from segflow.errors import UsageError
from segflow.explain.sources import CHANGED, MISSING, SAME
from segflow.train import bundle as bundles
from segflow.train.bundle import Bundle

_DATASET_FACTS = ("layout", "sources_sha256", "started", "run", "inputs", "config", "versions")

_Folder = TypeVar("_Folder", Bundle, Dataset)


def model(path: str, fingerprint: str) -> dict[str, Any]:
    """A model bundle by its address and fingerprint, and where it comes from.

    Returns:
        `path`, `fingerprint`, `state`; and either what `bundle.json` says or a `problem`.
    """
    return _found(path, fingerprint, None, Bundle.load, described_model)


def dataset(path: str, fingerprint: str, near: Path | None = None) -> dict[str, Any]:
    """A dataset by its address and fingerprint, and where it comes from; as `model` says it.

    Args:
        path: As recorded.
        fingerprint: As recorded.
        near: A folder beside which it may lie, where the path is relative.
    """
    return _found(path, fingerprint, near, Dataset.load, described_dataset)


def described_model(bundle: Bundle) -> dict[str, Any]:
    """What `bundle.json` says of how the model was made."""
    members = [
        {
            "weight": member.get("weight"),
            # Of members that claim to be ensembles themselves the record of one is enough.
            **_found(*_address(member), bundle.folder, Bundle.load, _described_alone),
        }
        for member in bundle.record.get("members") or ()
    ]
    return {**_described_alone(bundle), **({"members": members} if members else {})}


def described_dataset(found: Dataset) -> dict[str, Any]:
    """What `dataset.json` says of how the dataset was made."""
    splits = {name: split.examples for name, split in found.splits.items()}
    facts = {name: found.record.get(name) for name in _DATASET_FACTS}
    return {"record": str(found.folder.absolute() / RECORD_NAME), "examples": splits, **facts}


def _described_alone(bundle: Bundle) -> dict[str, Any]:
    record = bundle.record
    path = bundle.folder.absolute() / bundles.RECORD_NAME
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    trained_on = record.get("dataset")
    return {
        "record": str(path),
        "written": written.isoformat(timespec="seconds"),  # of the file: the record has no time
        "architecture": record.get("architecture"),
        "training": record.get("training"),
        "source": record.get("source"),  # of a bundle that was made of somebody's Keras file
        "versions": record.get("versions"),
        "dataset": trained_on and dataset(*_address(trained_on), near=bundle.folder),
    }


def _found(
    path: str,
    fingerprint: str,
    near: Path | None,
    load: Callable[[Path], _Folder],
    describe: Callable[[_Folder], dict[str, Any]],
) -> dict[str, Any]:
    about = {"path": path, "fingerprint": fingerprint}
    state, problem = MISSING, "no such folder"
    for place in [Path(path)] if near is None else recorded_places(path, near):
        if not place.exists():
            continue
        try:
            folder = load(place)
        except UsageError as error:
            state, problem = CHANGED, str(error)
            continue
        if folder.fingerprint == fingerprint:
            return {**about, "state": SAME, **describe(folder)}
        state, problem = CHANGED, f"another one lies there, {folder.fingerprint}"
    return {**about, "state": state, "problem": problem}


def _address(recorded: Mapping[str, Any]) -> tuple[str, str]:
    return str(recorded["path"]), str(recorded["fingerprint"])
