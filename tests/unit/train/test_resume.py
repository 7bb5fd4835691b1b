"""Kill and resume: the result is that of an undisturbed training, bit by bit."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipelines import main as segflow
from segflow import storage
from segflow.train import checkpoint, trainer
from segflow.train.bundle import Bundle
from segflow.train.checkpoint import Checkpoint
from segflow.train.output import STATE_FOLDER
from segflow.train.state import EpochRow
from tests.unit.train.commands import (
    COMMIT,
    EVERYTHING,
    PLAIN,
    Settings,
    train_until_killed,
    words,
)

# Functions at whose n-th call a training dies, just before it.
FIT = "segflow.train.fitting:_fit_epochs"
STEP = "segflow.train.guards:StopOnNonFinite.on_train_batch_end"
VALIDATED = "segflow.train.panels:panel"  # four a validation
ARRAY = "numpy.lib.format:write_array"  # 60 a checkpoint
ARRAYS = "segflow.train.checkpoint:_write_arrays"
STATE = "segflow.train.state:TrainingState.to_dict"
# All of the process: two when an own architecture is checked, one at each checkpoint but the
# first, three of Keras's while it saves models, and one of the state, after the commit.
CLEAN = "segflow.train.checkpoint:shutil.rmtree"
HISTORY = "segflow.train.state:TrainingState.history_csv"
BEGIN = "segflow.train.transfer:FreezeBackbone.on_epoch_begin"
PUBLISH = "segflow.storage:publish"

TWO = "optimizer.npz weights.npz"  # of a checkpoint's files; the best weights come third

WITH_DROPOUT: Settings = {
    **EVERYTHING,
    "architecture": "tests.unit.train.backboned:build_with_dropout",
}


@dataclass(frozen=True)
class Finished:
    """What a training came to, and where it stood before its bundle was written."""

    bundle: Bundle
    last: Checkpoint


def _train(dataset: Path, output: Path, settings: Settings) -> Finished:
    """Trains, or goes on, to the end."""
    last = []

    def noting(*args: object) -> None:
        last.append(checkpoint.load(output / STATE_FOLDER))
        original(*args)

    original = trainer._write_bundle
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_write_bundle", noting)
        assert segflow.main(words(dataset, output, settings)) == 0
    assert STATE_FOLDER not in storage.names_in(output)
    return Finished(Bundle.load(output), *last)


def _left_behind(output: Path) -> tuple[list[int], int, str]:
    """Epochs that have a checkpoint, rows of the history, and names of what is not finished."""
    state, history = output / STATE_FOLDER, output / "history.csv"
    epochs = [int(name.removeprefix("epoch-")) for name in storage.names_in(state) if "-" in name]
    rows = len(history.read_text().splitlines()) - 1 if history.exists() else 0
    half_done = [path.name for path in (*state.glob(".*/*"), *state.glob(".*.*"))]
    names = {*half_done, *storage.names_in(output)} - {STATE_FOLDER, "history.csv", "logs"}
    return epochs, rows, " ".join(sorted(names))


def _without_times(row: EpochRow) -> EpochRow:
    return dataclasses.replace(row, seconds=0.0, images_per_second=0.0, input_wait=0.0)


def _assert_equal(found: Checkpoint, expected: Checkpoint) -> None:
    """Weights, optimiser, best weights and history, bit by bit."""
    for name in ("weights", "optimizer", "best_weights"):
        for a, b in zip(getattr(found, name), getattr(expected, name), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    states = (found.state, expected.state)
    rows, expected_rows = ([_without_times(row) for row in state.rows] for state in states)
    assert rows == expected_rows
    assert found.state.best_epoch == expected.state.best_epoch
    assert found.state.stopped == expected.state.stopped


def _assert_equal_bundles(found: Finished, expected: Finished) -> None:
    _assert_equal(found.last, expected.last)
    weights = (each.bundle.load_model().get_weights() for each in (found, expected))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for key in ("metrics", "confusion_matrix", "calibration", "architecture", "dataset"):
        assert found.bundle.record[key] == expected.bundle.record[key]
    written = (found.bundle.folder / "history.csv").read_bytes()
    assert written == found.last.state.history_csv()


@pytest.fixture(scope="module")
def undisturbed(dataset_folder, tmp_path_factory):
    """With all that has state of its own."""
    return _train(dataset_folder, tmp_path_factory.mktemp("models") / "undisturbed", WITH_DROPOUT)


def test_killed_twice_and_resumed_it_comes_to_the_same_bits(dataset_folder, undisturbed, tmp_path):
    """Once as a checkpoint is half written, and once in a later epoch of what went on."""
    output = tmp_path / "killed"
    train_until_killed(dataset_folder, output, ARRAYS, 6, WITH_DROPOUT)
    assert _left_behind(output) == ([1], 1, TWO)
    train_until_killed(dataset_folder, output, STEP, 5, WITH_DROPOUT)
    assert _left_behind(output) == ([2], 2, "")
    _assert_equal_bundles(_train(dataset_folder, output, WITH_DROPOUT), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "call", "epochs", "rows", "unfinished"),
    [
        pytest.param(FIT, 1, [], 0, "", id="before-the-first-step"),
        pytest.param(STEP, 2, [], 0, "", id="in-the-first-epoch"),
        pytest.param(STEP, 5, [1], 1, "", id="with-a-gradient-half-gathered"),
        pytest.param(VALIDATED, 6, [1], 1, "", id="in-a-validation-of-the-average"),
        pytest.param(ARRAY, 93, [1], 1, TWO, id="in-a-file"),
        pytest.param(ARRAYS, 6, [1], 1, TWO, id="before-the-best-weights"),
        pytest.param(STATE, 2, [1], 1, f"best_weights.npz {TWO}", id="before-the-state"),
        pytest.param(CLEAN, 4, [2, 3], 2, "", id="before-an-old-checkpoint-goes"),
        pytest.param(HISTORY, 3, [3], 2, "", id="between-state-and-history"),
        pytest.param(BEGIN, 3, [2], 2, "", id="at-the-change-to-fine-tuning"),
        pytest.param(STEP, 8, [2], 2, "", id="in-the-first-epoch-of-fine-tuning"),
        pytest.param(PUBLISH, 1, [4], 4, ".examples.parquet .model.keras", id="before-the-bundle"),
        pytest.param(PUBLISH, 2, [4], 4, ".model.keras examples.parquet", id="in-the-bundle"),
        pytest.param(COMMIT, 1, [4], 4, "examples.parquet model.keras", id="before-the-commit"),
    ],
)
def test_wherever_it_is_killed_it_comes_to_the_same_bits(
    dataset_folder, undisturbed, tmp_path, victim, call, epochs, rows, unfinished
):
    output = tmp_path / "killed"
    train_until_killed(dataset_folder, output, victim, call, WITH_DROPOUT)
    assert _left_behind(output) == (epochs, rows, unfinished)
    _assert_equal_bundles(_train(dataset_folder, output, WITH_DROPOUT), undisturbed)


@pytest.mark.slow
def test_killed_after_the_commit_it_is_finished(dataset_folder, undisturbed, tmp_path, capfd):
    output = tmp_path / "killed"
    train_until_killed(dataset_folder, output, CLEAN, 9, WITH_DROPOUT)
    assert _left_behind(output) == ([4], 4, "bundle.json examples.parquet model.keras")
    last = checkpoint.load(output / STATE_FOLDER)
    assert segflow.main(words(dataset_folder, output, WITH_DROPOUT)) == 0
    assert "this training is finished; nothing left to do" in capfd.readouterr().err
    assert STATE_FOLDER not in storage.names_in(output)
    _assert_equal_bundles(Finished(Bundle.load(output), last), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(PLAIN, id="defaults"),
        pytest.param({**WITH_DROPOUT, "precision": "mixed_float16"}, id="loss-scaling"),
    ],
)
def test_it_also_holds_with_other_settings(dataset_folder, tmp_path, settings):
    whole = _train(dataset_folder, tmp_path / "whole", settings)
    output = tmp_path / "killed"
    train_until_killed(dataset_folder, output, STEP, 8, settings)
    _assert_equal_bundles(_train(dataset_folder, output, settings), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(PLAIN, id="batch-norm"),
        pytest.param({**WITH_DROPOUT, "sync-batch-norm": True}, id="everything"),
    ],
)
def test_it_also_holds_for_two_replicas(dataset_folder, tmp_path, settings):
    """Each replica moves its own statistics; they are evened out before they are stored."""
    settings = {**settings, "devices": "cpu:2"}
    last = []
    for name, kills in (("whole", [(COMMIT, 1)]), ("killed", [(STEP, 8), (COMMIT, 1)])):
        output = tmp_path / name
        for victim, call in kills:
            train_until_killed(dataset_folder, output, victim, call, settings)
        last.append(checkpoint.load(output / STATE_FOLDER))
    _assert_equal(*last)
