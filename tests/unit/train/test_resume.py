"""Kill and resume: the result is that of an undisturbed training, bit by bit."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from segflow import storage
from segflow.train import checkpoint
from segflow.train.bundle import Bundle
from segflow.train.trainer import train
from tests.requirements import ROOT
from tests.unit.train.datasets import small_config

STEP = "segflow.train.guards:StopOnNonFinite.on_train_batch_end"
SAVE = "segflow.train.checkpoint:_write_arrays"
CLEAN = "segflow.train.checkpoint:shutil.rmtree"
PUBLISH = "segflow.storage:publish"


def _train_until_killed(dataset: Path, output: Path, devices: str, victim: str, call: int) -> None:
    command = [sys.executable, "-m", "tests.unit.train.killed"]
    command += [str(dataset), str(output), devices, victim, str(call)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert not (output / "bundle.json").exists()


def _train(dataset: Path, output: Path) -> Bundle:
    config = small_config(dataset, output, devices="cpu:1", resume=True)
    return Bundle.load(train(config, Console(file=io.StringIO())))


def _history(bundle: Bundle) -> list[str]:
    """Without the columns of time."""
    lines = (bundle.folder / "history.csv").read_text().splitlines()
    return [",".join(line.split(",")[:-3]) for line in lines]


def _assert_equal(bundle: Bundle, other: Bundle) -> None:
    weights = (b.load_model().get_weights() for b in (bundle, other))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert _history(bundle) == _history(other)
    for key in ("metrics", "confusion_matrix", "architecture", "dataset"):
        assert bundle.record[key] == other.record[key]
    assert bundle.record["training"]["best_epoch"] == other.record["training"]["best_epoch"]


@pytest.fixture(scope="module")
def undisturbed(dataset_folder, tmp_path_factory):
    return _train(dataset_folder, tmp_path_factory.mktemp("models") / "undisturbed")


@pytest.mark.parametrize(
    ("victim", "call", "epochs_left_behind"),
    [
        pytest.param(STEP, 8, 2, id="in-the-third-epoch"),
        pytest.param(STEP, 2, 0, id="in-the-first-epoch", marks=pytest.mark.slow),
        pytest.param(SAVE, 5, 1, id="in-the-second-checkpoint", marks=pytest.mark.slow),
        pytest.param(CLEAN, 2, 3, id="before-an-old-one-goes", marks=pytest.mark.slow),
        pytest.param(PUBLISH, 2, 4, id="in-the-bundle", marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_goes_on_to_the_same_bits(
    dataset_folder, undisturbed, tmp_path, victim, call, epochs_left_behind
):
    output = tmp_path / "killed"
    _train_until_killed(dataset_folder, output, "cpu:1", victim, call)
    state = checkpoint.load_state(output / "_train")
    assert (state.epochs_done if state else 0) == epochs_left_behind
    _assert_equal(_train(dataset_folder, output), undisturbed)
    assert "_train" not in storage.names_in(output)


@pytest.mark.slow
def test_it_also_holds_for_two_replicas_with_batch_norm(dataset_folder, tmp_path):
    """Each replica moves its own statistics; they are evened out before they are stored."""
    bundles = []
    for name, victim, call in (("whole", None, 0), ("killed", STEP, 8)):
        output = tmp_path / name
        if victim:
            _train_until_killed(dataset_folder, output, "cpu:2", victim, call)
        command = [sys.executable, "-m", "tests.unit.train.killed"]
        command += [str(dataset_folder), str(output), "cpu:2", STEP, "100"]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        bundles.append(Bundle.load(output))
    _assert_equal(*bundles)
