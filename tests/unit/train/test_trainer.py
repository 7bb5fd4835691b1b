"""A whole training: the bundle it commits, and what it refuses."""

import csv
import dataclasses
import io
import shutil

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from segflow import scores, storage
from segflow.dataset import Dataset
from segflow.errors import JobError, UsageError
from segflow.lock import lock
from segflow.train.bundle import Bundle
from segflow.train.input import stored_examples
from segflow.train.output import STATE_FOLDER
from segflow.train.trainer import train
from tests.unit.train.datasets import small_config, write_dataset


def _quietly(config) -> str:
    """Trains; returns what was said."""
    text = io.StringIO()
    train(config, Console(file=text, width=200))
    return text.getvalue()


@pytest.fixture(scope="module")
def config(dataset_folder, tmp_path_factory):
    return small_config(dataset_folder, tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def said(config):
    return _quietly(config)


@pytest.fixture(scope="module")
def bundle(config, said):
    return Bundle.load(config.output)


def test_the_folder_holds_the_contract_and_nothing_else(bundle):
    assert storage.names_in(bundle.folder) == [
        "bundle.json",
        "examples.parquet",
        "history.csv",
        "logs",
        "model.keras",
    ]
    assert list((bundle.folder / "logs").glob("*/events*"))


def test_every_epoch_is_said_and_recorded(bundle, said):
    rows = list(csv.DictReader((bundle.folder / "history.csv").open()))
    assert [r["epoch"] for r in rows] == ["1", "2", "3", "4"]
    best = bundle.record["training"]["best_epoch"]
    assert [line.split(",")[0] for line in said.splitlines()] == [
        "building unet; its first step takes longest",
        *(f"train: epoch {e} of 4" for e in (1, 2, 3, 4)),
        f"scoring the weights of epoch {best} on val",
    ]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    best = max(rows, key=lambda r: float(r["val_mean_iou"]))
    assert bundle.record["training"]["best_epoch"] == int(best["epoch"])
    assert bundle.record["metrics"]["mean_iou"] == pytest.approx(float(best["val_mean_iou"]))


def test_the_scores_are_those_of_the_stored_model(bundle, dataset_folder):
    model = keras.models.load_model(bundle.model_path)
    total = np.zeros((3, 3), np.int64)
    for image, truth, _ in stored_examples(Dataset.load(dataset_folder), "val").as_numpy_iterator():
        prediction = model.predict(image[np.newaxis], verbose=0)[0].argmax(-1)
        total += scores.confusion_matrix(truth, prediction, 3, 255)
    assert bundle.record["confusion_matrix"] == total.tolist()
    summary = scores.summarize(total, bundle.label_map.names)
    for name, expected in summary["per_class"].items():
        assert expected.items() <= bundle.record["metrics"]["per_class"][name].items()
    assert bundle.record["metrics"]["examples"] == 5


def test_the_record_says_how_it_was_made(bundle, config):
    training = bundle.record["training"]
    assert {**training, **config.identity()} == training
    assert (training["epochs_run"], training["stopped"]) == (4, "epochs")
    assert bundle.record["architecture"]["parameters"] == {
        "filters": 4,
        "depth": 2,
        "upsampling": "transposed",
        "backbone": "none",
        "backbone_alpha": None,
        "weights": "none",
    }
    assert bundle.record["architecture"]["weights"] == bundle.load_model().count_params()
    assert bundle.record["architecture"]["flops"] > 2 * 16 * 24 * 3 * 9 * 4  # its first layer's
    ranks = pq.read_table(bundle.folder / "examples.parquet").column("rank").to_pylist()
    assert [rank for rank in ranks if rank != "doubtful"] == ["worst"] * 2 + ["best"] * 3


def test_once_more_leaves_a_finished_training_as_it_is(bundle, config):
    before = {p: p.stat().st_mtime_ns for p in bundle.folder.rglob("*")}
    assert "nothing left to do" in _quietly(dataclasses.replace(config, resume=True))
    assert {p: p.stat().st_mtime_ns for p in bundle.folder.rglob("*")} == before


def test_another_training_does_not_touch_a_finished_one(bundle, config):
    with pytest.raises(UsageError, match="bundle of another training: epochs is 4 there and 5"):
        _quietly(dataclasses.replace(config, epochs=5))


def test_a_finished_training_whose_model_was_altered_is_not_taken_for_done(
    bundle, config, tmp_path
):
    folder = shutil.copytree(bundle.folder, tmp_path / "copy")
    (folder / "model.keras").write_bytes(b"x" * (folder / "model.keras").stat().st_size)
    with pytest.raises(UsageError, match="altered"):
        _quietly(dataclasses.replace(config, output=str(folder)))


def test_the_time_limit_ends_a_training_with_a_bundle(dataset_folder, tmp_path):
    said = _quietly(small_config(dataset_folder, tmp_path / "m", epochs=10**6, max_minutes=1e-4))
    training = Bundle.load(tmp_path / "m").record["training"]
    assert (training["epochs_run"], training["stopped"]) == (1, "max_minutes")
    assert "epoch 1 of 1000000" in said


def test_a_loss_that_is_no_number_stops_the_training_and_says_where(dataset_folder, tmp_path):
    config = small_config(dataset_folder, tmp_path / "m", optimizer="sgd", learning_rate=1e30)
    found = r"the (loss|gradient) is not finite in epoch 1, batch \d, of the examples train/\d-\d, "
    with pytest.raises(JobError, match=found):
        _quietly(config)
    assert not (tmp_path / "m" / "bundle.json").exists()


def _refused(config, match: str) -> None:
    """Found before the first step: no output folder is made."""
    with pytest.raises(UsageError, match=match):
        _quietly(config)
    assert not storage.names_in(config.output)


@pytest.fixture
def copy(dataset_folder, tmp_path):
    return shutil.copytree(dataset_folder, tmp_path / "copy")


def test_a_missing_shard_is_found_first(copy, tmp_path):
    (copy / "val-00000-of-00001.tfrecord").unlink()
    _refused(small_config(copy, tmp_path / "m"), r"val-00000-of-00001\.tfrecord: missing")


def test_a_cut_shard_is_found_first(copy, tmp_path):
    shard = copy / "train-00001-of-00002.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-20])
    _refused(small_config(copy, tmp_path / "m"), r"train-00001-of-00002\.tfrecord: .*cut")


def test_swapped_shards_are_found_first(copy, tmp_path):
    one, two = (copy / f"train-0000{i}-of-00002.tfrecord" for i in (0, 1))
    one.rename(copy / "x")
    two.rename(one)
    (copy / "x").rename(two)
    _refused(small_config(copy, tmp_path / "m"), r"train-00000-of-00002\.tfrecord")


def test_a_dataset_without_validation_is_refused(tmp_path):
    folder = write_dataset(tmp_path / "d", {"train": [4]})
    _refused(small_config(folder, tmp_path / "m"), r"split 'val'.*--splits")


def test_class_weights_for_other_classes_are_found_first(dataset_folder, tmp_path):
    (tmp_path / "weights.json").write_text('{"sky": 1}')
    config = small_config(
        dataset_folder, tmp_path / "m", class_weights=str(tmp_path / "weights.json")
    )
    _refused(config, "no weight for ground, disc, bar")


def test_devices_that_are_not_there_leave_no_folder(dataset_folder, tmp_path):
    _refused(small_config(dataset_folder, tmp_path / "m", batch_size=9, devices="gpu:9"), "gpu:9")


def test_a_batch_larger_than_the_split_is_refused(dataset_folder, tmp_path):
    _refused(small_config(dataset_folder, tmp_path / "m", batch_size=13), "at most 12")


def test_more_batches_for_an_update_than_an_epoch_has_are_refused(dataset_folder, tmp_path):
    with pytest.raises(UsageError, match=r"--accumulation 4 .* 3 batches .* at most 3"):
        train(small_config(dataset_folder, tmp_path / "m", accumulation=4))
    assert not (tmp_path / "m").exists()


def test_of_two_trainings_into_one_folder_one_is_refused(dataset_folder, tmp_path):
    other = small_config(dataset_folder, tmp_path / "model")
    busy = pytest.raises(UsageError, match="is at work there; wait for it to end")
    with lock(other.output, STATE_FOLDER), busy:
        _quietly(other)
    assert not (tmp_path / "model").exists()
