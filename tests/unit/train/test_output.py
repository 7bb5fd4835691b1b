"""What an output folder may hold when a training begins."""

import dataclasses
import json

import pytest

from segflow import storage
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.train import checkpoint, output
from segflow.train.checkpoint import Checkpoint
from segflow.train.config import TrainConfig
from segflow.train.output import STATE_FOLDER, check_output, finished_bundle, run_identity
from segflow.train.state import EpochRow, TrainingState


@pytest.fixture(scope="module")
def dataset(dataset_folder):
    return Dataset.load(dataset_folder)


@pytest.fixture
def config(dataset_folder, tmp_path):
    return TrainConfig(str(dataset_folder), str(tmp_path / "out"))


def _interrupt(config: TrainConfig, dataset: Dataset) -> None:
    row = EpochRow(1, 1.0, 0.1, 1.0, 0.1, 0.5, 0.001, 1.0, 1.0, 0.0)
    state = TrainingState(run_identity(config, dataset, None)).with_row(row)
    checkpoint.save(f"{config.output}/{STATE_FOLDER}", Checkpoint(state, [], [], []))


@pytest.mark.parametrize("names", [[], [STATE_FOLDER], [STATE_FOLDER, "logs"]])
def test_a_new_folder_and_one_left_in_the_first_epoch_are_free(config, dataset, tmp_path, names):
    for name in names:
        (tmp_path / "out" / name).mkdir(parents=True)
    assert finished_bundle(config, dataset, None) is None
    check_output(config, dataset, None)
    assert storage.names_in(tmp_path / "out") == names


@pytest.mark.parametrize("name", ["notes.txt", "dataset.json", "model.keras"])
def test_foreign_content_is_refused(config, dataset, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).touch()
    with pytest.raises(UsageError, match=f"holds '{name}'.*new or empty folder"):
        check_output(config, dataset, None)
    assert storage.names_in(tmp_path / "out") == [name]


def test_a_file_is_refused(config, dataset, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="is a file"):
        check_output(config, dataset, None)


def test_an_unfinished_training_wants_resume(config, dataset):
    _interrupt(config, dataset)
    with pytest.raises(UsageError, match="unfinished training of 1 epochs; go on with --resume"):
        check_output(config, dataset, None)
    check_output(dataclasses.replace(config, resume=True, max_minutes=5.0), dataset, None)


def test_an_unfinished_training_of_other_settings_is_refused(config, dataset):
    _interrupt(config, dataset)
    other = dataclasses.replace(config, resume=True, learning_rate=0.5)
    with pytest.raises(UsageError, match=r"other settings: learning_rate is 0\.\d+ there and 0.5"):
        check_output(other, dataset, None)


def _class_weights(path, weight: float) -> str:
    path.write_text(json.dumps({"ground": 1, "disc": weight, "bar": 1}))
    return str(path)


def _resumed(config: TrainConfig, dataset: Dataset, **settings: object) -> None:
    check_output(dataclasses.replace(config, resume=True, **settings), dataset, None)


def test_other_class_weights_under_the_same_name_are_another_training(config, dataset, tmp_path):
    path = tmp_path / "weights.json"
    config = dataclasses.replace(config, class_weights=_class_weights(path, 2))
    _interrupt(config, dataset)
    _resumed(config, dataset)
    _resumed(config, dataset, class_weights=_class_weights(tmp_path / "moved.json", 2))
    _class_weights(path, 3)
    with pytest.raises(
        UsageError, match=r"class_weights is \[1.0, 2.0, 1.0\] there and \[1.0, 3.0"
    ):
        _resumed(config, dataset)


def test_pretrained_weights_are_known_by_their_content(config, dataset, tmp_path):
    path, moved = tmp_path / "a.h5", tmp_path / "b.h5"
    path.write_bytes(b"weights")
    config = dataclasses.replace(config, backbone="mobilenet", weights=str(path))
    _interrupt(config, dataset)
    path.rename(moved)
    _resumed(config, dataset, weights=str(moved))
    _resumed(config, dataset)  # gone: nothing says that they were others
    moved.write_bytes(b"others")
    with pytest.raises(UsageError, match=r"weights is .*a.h5 there and .*b.h5 here"):
        _resumed(config, dataset, weights=str(moved))
    path.write_bytes(b"others")
    with pytest.raises(UsageError, match=r"weights_sha256 is \w+ there and \w+ here"):
        _resumed(config, dataset)


def test_a_default_that_is_spelt_out_is_the_same_training(config, dataset):
    _interrupt(config, dataset)
    _resumed(config, dataset, backbone="none", weights="none", filters=16)
    with pytest.raises(UsageError, match="filters is 16 there and 8 here"):
        _resumed(config, dataset, filters=8)


def test_another_version_of_keras_is_refused(config, dataset, monkeypatch):
    _interrupt(config, dataset)
    monkeypatch.setattr(output, "version", {"keras": "99.0", "tensorflow": "2.0"}.get)
    with pytest.raises(UsageError, match=r"the version of keras is 3\S+ there and 99\.0 here"):
        _resumed(config, dataset)
