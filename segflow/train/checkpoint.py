"""What a training goes on from: complete or absent, and all of one epoch.

State, weights, optimiser and best weights so far lie in one folder, which appears under its
name by one rename. So a process killed at any moment leaves the checkpoint of a finished epoch,
and none that mixes two epochs.
"""

import os
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import storage
from segflow.train.state import TrainingState

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The end of an epoch.

    Attributes:
        state: History and counters.
        weights: The model's variables, in the model's order.
        optimizer: The optimiser's variables, in its order.
        best_weights: The model's variables as they were at the end of `state.best_epoch`.
    """

    state: TrainingState
    weights: Arrays = field(repr=False)
    optimizer: Arrays = field(repr=False)
    best_weights: Arrays = field(repr=False)


_ARRAYS = ("weights", "optimizer", "best_weights")


def save(folder: str | Path, checkpoint: Checkpoint) -> None:
    """Publishes a checkpoint in `folder`, then removes all other folders from there."""
    folder = Path(folder)
    unpublished = folder / f".{uuid.uuid4().hex}"
    unpublished.mkdir(parents=True)
    for name in _ARRAYS:
        _write_arrays(unpublished / f"{name}.npz", getattr(checkpoint, name))
    storage.put(unpublished / "state.json", storage.to_json(checkpoint.state.to_dict()))
    published = unpublished.rename(folder / f"epoch-{checkpoint.state.epochs_done:06d}")
    for path in folder.iterdir():
        if path.is_dir() and path != published:
            shutil.rmtree(path)


def load_state(folder: str | Path) -> TrainingState | None:
    """The newest state in `folder`; None if no epoch was finished there."""
    newest = _newest(Path(folder))
    if newest is None:
        return None
    return TrainingState.from_dict(storage.read_json(newest / "state.json"))


def load(folder: str | Path) -> Checkpoint | None:
    """The newest checkpoint in `folder`; None if no epoch was finished there."""
    state, newest = load_state(folder), _newest(Path(folder))
    if state is None or newest is None:
        return None
    return Checkpoint(state, *(_read_arrays(newest / f"{name}.npz") for name in _ARRAYS))


def _newest(folder: Path) -> Path | None:
    # A kill between the rename and the removal leaves two: the later one is whole.
    names = [name for name in storage.names_in(folder) if name.startswith("epoch-")]
    return folder / names[-1] if names else None


def _write_arrays(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, *arrays)
        file.flush()
        os.fsync(file.fileno())


def _read_arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        return [stored[f"arr_{i}"] for i in range(len(stored.files))]
