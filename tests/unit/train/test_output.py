"""What an output folder may hold when a training begins."""

import dataclasses

import pytest

from segflow import storage
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.train import checkpoint
from segflow.train.checkpoint import Checkpoint
from segflow.train.config import TrainConfig
from segflow.train.output import STATE_FOLDER, finished_bundle, prepare_output, run_identity
from segflow.train.state import EpochRow, TrainingState


@pytest.fixture(scope="module")
def dataset(dataset_folder):
    return Dataset.load(dataset_folder)


@pytest.fixture
def config(dataset_folder, tmp_path):
    return TrainConfig(str(dataset_folder), str(tmp_path / "out"))


def _interrupt(config: TrainConfig, dataset: Dataset) -> None:
    prepare_output(config, dataset)
    row = EpochRow(1, 1.0, 0.1, 1.0, 0.1, 0.5, 0.001, 1.0, 1.0)
    state = TrainingState(run_identity(config, dataset)).with_row(row)
    checkpoint.save(f"{config.output}/{STATE_FOLDER}", Checkpoint(state, [], [], []))


def test_a_new_folder_is_made_and_marked(config, dataset, tmp_path):
    assert finished_bundle(config, dataset) is None
    prepare_output(config, dataset)
    assert storage.names_in(tmp_path / "out") == [STATE_FOLDER]
    prepare_output(config, dataset)  # as after a kill in the first epoch


@pytest.mark.parametrize("name", ["notes.txt", "dataset.json", "model.keras"])
def test_foreign_content_is_refused(config, dataset, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).touch()
    with pytest.raises(UsageError, match=f"holds '{name}'.*new or empty folder"):
        prepare_output(config, dataset)
    assert storage.names_in(tmp_path / "out") == [name]


def test_a_file_is_refused(config, dataset, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="is a file"):
        prepare_output(config, dataset)


def test_an_unfinished_training_wants_resume(config, dataset):
    _interrupt(config, dataset)
    with pytest.raises(UsageError, match="unfinished training of 1 epochs; go on with --resume"):
        prepare_output(config, dataset)
    prepare_output(dataclasses.replace(config, resume=True, max_minutes=5.0), dataset)


def test_an_unfinished_training_of_other_settings_is_refused(config, dataset):
    _interrupt(config, dataset)
    other = dataclasses.replace(config, resume=True, learning_rate=0.5)
    with pytest.raises(UsageError, match=r"other settings: learning_rate is 0\.\d+ there and 0.5"):
        prepare_output(other, dataset)
