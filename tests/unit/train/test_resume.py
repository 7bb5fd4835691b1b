"""Kill and resume: the result is that of an undisturbed training, bit by bit."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from segflow import storage
from segflow.models import registry
from segflow.train import checkpoint
from segflow.train.bundle import Bundle
from segflow.train.trainer import train
from tests.requirements import ROOT
from tests.unit.train import backboned
from tests.unit.train.datasets import small_config

STEP = "segflow.train.guards:StopOnNonFinite.on_train_batch_end"
SAVE = "segflow.train.checkpoint:_write_arrays"
CLEAN = "segflow.train.checkpoint:shutil.rmtree"
PUBLISH = "segflow.storage:publish"


# A frozen backbone for two of four epochs, then all weights; batch norm and the moving average
# have state of their own, and an update of the weights takes two batches of each epoch's three.
EVERYTHING = {
    "devices": "cpu:1",
    "architecture": "tiny",
    "depth": None,
    "freeze_backbone_epochs": 2,
    "fine_tune_learning_rate": 0.002,
    "moving_average": 0.5,
    "accumulation": 2,
    "clip_norm": 1.0,
}


def _train_until_killed(
    dataset: Path, output: Path, victim: str, call: int, settings: dict[str, Any]
) -> None:
    result = _train_apart(dataset, output, victim, call, settings)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert not (output / "bundle.json").exists()


def _train_apart(
    dataset: Path, output: Path, victim: str, call: int, settings: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.unit.train.killed", str(dataset), str(output)]
    command += [victim, str(call), json.dumps(settings)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def _train(dataset: Path, output: Path, **settings: Any) -> Bundle:
    config = small_config(dataset, output, resume=True, **{"devices": "cpu:1", **settings})
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
    _train_until_killed(dataset_folder, output, victim, call, {"devices": "cpu:1"})
    state = checkpoint.load_state(output / "_train")
    assert (state.epochs_done if state else 0) == epochs_left_behind
    _assert_equal(_train(dataset_folder, output), undisturbed)
    assert "_train" not in storage.names_in(output)


@pytest.fixture(scope="module")
def everything(dataset_folder, tmp_path_factory):
    """All that has state of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "ARCHITECTURES", registry.ARCHITECTURES)  # puts it back
        backboned.register()
        yield _train(dataset_folder, tmp_path_factory.mktemp("models") / "everything", **EVERYTHING)


@pytest.mark.parametrize(
    ("step", "epochs_left_behind"),
    [
        pytest.param(8, 2, id="after-the-last-frozen-epoch"),
        pytest.param(5, 1, id="in-the-frozen-epochs", marks=pytest.mark.slow),
        pytest.param(11, 3, id="after-them", marks=pytest.mark.slow),
    ],
)
def test_it_also_holds_with_all_that_has_state(
    dataset_folder, everything, tmp_path, step, epochs_left_behind
):
    output = tmp_path / "killed"
    _train_until_killed(dataset_folder, output, STEP, step, EVERYTHING)
    assert checkpoint.load_state(output / "_train").epochs_done == epochs_left_behind
    _assert_equal(_train(dataset_folder, output, **EVERYTHING), everything)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="batch-norm"),
        pytest.param({**EVERYTHING, "sync_batch_norm": True}, id="everything"),
    ],
)
def test_it_also_holds_for_two_replicas(dataset_folder, tmp_path, settings):
    """Each replica moves its own statistics; they are evened out before they are stored."""
    settings = {**settings, "devices": "cpu:2"}
    bundles = []
    for name in ("whole", "killed"):
        output = tmp_path / name
        if name == "killed":
            _train_until_killed(dataset_folder, output, STEP, 8, settings)
        assert not _train_apart(dataset_folder, output, STEP, 100, settings).returncode
        bundles.append(Bundle.load(output))
    _assert_equal(*bundles)
