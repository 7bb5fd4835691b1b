"""Reading shards: every example, exact masks, and an order that depends on (seed, epoch) alone."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segflow.data import records
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap
from segflow.train import input as train_input
from segflow.train.augment_config import AugmentationConfig
from segflow.train.config import TrainConfig
from segflow.train.input import (
    evaluation_batches,
    stored_examples,
    training_batches,
    training_keys,
)
from tests.unit.train.datasets import LABELS, SIZE, write_dataset

PLAIN = AugmentationConfig(enabled=False)


def _config(folder: Path, **settings: object) -> TrainConfig:
    return TrainConfig(str(folder), "out", **{"batch_size": 4, "epochs": 3, **settings})


def _batches(dataset: Dataset, config: TrainConfig, first_epoch: int = 0) -> list:
    return list(training_batches(dataset, config, first_epoch).as_numpy_iterator())


def _images(batches: list) -> list[bytes]:
    return [image.tobytes() for images, _ in batches for image in images]


@pytest.fixture(scope="module")
def dataset(dataset_folder):
    return Dataset.load(dataset_folder)


def test_batches_have_the_promised_types(dataset):
    images, masks = _batches(dataset, _config(dataset.folder))[0]
    assert (images.shape, images.dtype) == ((4, *SIZE, 3), np.float32)
    assert (masks.shape, masks.dtype) == ((4, *SIZE), np.int32)


def test_jpeg_pixels_are_those_that_pillow_reads(tmp_path):
    """Labelling and evaluation decode with Pillow: training must see the same picture."""
    dataset = Dataset.load(write_dataset(tmp_path / "jpeg", {"train": [4]}, image_kind="JPEG"))
    stored = {
        key.decode(): image
        for image, _, key in stored_examples(dataset, "train").as_numpy_iterator()
    }
    frames = records.read_frames(dataset.shard_paths("train")[0])
    for record in map(records.decode_example, frames):
        expected = np.asarray(Image.open(io.BytesIO(record.image)))
        np.testing.assert_array_equal(stored[record.source_id], expected)


def test_every_epoch_shows_every_example_once_in_another_order(dataset):
    config = _config(dataset.folder, augmentation=PLAIN)
    batches = _batches(dataset, config)
    epochs = [_images(batches[3 * e : 3 * e + 3]) for e in range(3)]
    stored = {
        image.tobytes() for image, _, _ in stored_examples(dataset, "train").as_numpy_iterator()
    }
    assert len(stored) == 12
    assert all(set(epoch) == stored for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_later_epoch_needs_no_earlier_one(dataset):
    config = _config(dataset.folder)
    whole, last = _batches(dataset, config), _batches(dataset, config, first_epoch=2)
    assert len(last) == 3
    for expected, found in zip(whole[6:], last, strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_the_order_depends_on_the_seed_and_on_no_global_state(dataset):
    config = _config(dataset.folder)
    tf.random.set_seed(1)
    first = _images(_batches(dataset, config))
    tf.random.set_seed(2)
    assert _images(_batches(dataset, config)) == first
    assert _images(_batches(dataset, dataclasses.replace(config, seed=1))) != first


def test_augmentation_does_not_depend_on_the_batch_size(dataset):
    small, large = (
        _images(_batches(dataset, _config(dataset.folder, batch_size=b))) for b in (2, 6)
    )
    assert small == large


def test_examples_at_one_place_in_two_shards_are_augmented_differently(tmp_path):
    """All examples show one picture: only their augmentation tells them apart."""
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    folder = write_dataset(
        tmp_path / "same", {"train": [3, 3]}, change=lambda _, mask: (picture, mask)
    )
    images = _images(_batches(Dataset.load(folder), _config(folder, batch_size=6, epochs=1)))
    assert len(set(images)) == 6


def test_an_example_is_augmented_anew_each_epoch(dataset):
    images = _images(_batches(dataset, _config(dataset.folder)))
    assert len(set(images)) == 36


def test_an_epoch_drops_what_does_not_fill_a_batch(dataset):
    config = _config(dataset.folder, batch_size=5, epochs=2, augmentation=PLAIN)
    batches = _batches(dataset, config)
    assert [len(images) for images, _ in batches] == [5, 5, 5, 5]
    assert all(len(set(_images(batches[e : e + 2]))) == 10 for e in (0, 2))


def test_windows_smaller_than_the_split_still_show_every_example(dataset, monkeypatch):
    monkeypatch.setattr(train_input, "_WINDOW_BYTES", 6000)
    assert 1 < train_input._window_examples(dataset.split("train")) < 12
    config = _config(dataset.folder, epochs=1, augmentation=PLAIN)
    assert len(set(_images(_batches(dataset, config)))) == 12


def test_a_split_smaller_than_a_batch_is_refused(dataset):
    with pytest.raises(UsageError, match="fewer than one batch of 16"):
        training_batches(dataset, _config(dataset.folder, batch_size=16), 0)


def test_validation_fills_the_last_batch_with_ignored_images_of_no_weight(dataset):
    batches = list(evaluation_batches(dataset, "val", 4).as_numpy_iterator())
    assert [images.shape[0] for images, _, _ in batches] == [4, 4]
    weights = np.concatenate([weight for _, _, weight in batches])
    np.testing.assert_allclose(weights, [8 / 5] * 5 + [0] * 3, rtol=1e-6)
    assert (batches[1][1][1:] == LABELS.ignore_id).all()


def test_validation_weights_make_the_mean_over_batches_the_mean_over_examples(dataset):
    values, means = [], []
    for images, _, weight in evaluation_batches(dataset, "val", 4).as_numpy_iterator():
        brightness = images.mean((1, 2, 3))
        values += brightness[weight > 0].tolist()
        means.append((brightness * weight).mean())
    assert np.mean(means) == pytest.approx(np.mean(values), rel=1e-6)


def test_validation_without_a_remainder_has_no_filling(dataset):
    batches = list(evaluation_batches(dataset, "val", 5).as_numpy_iterator())
    assert len(batches) == 1
    np.testing.assert_array_equal(batches[0][2], np.ones(5))


def test_keys_come_in_stored_order(dataset):
    keys = [key.decode() for _, _, key in stored_examples(dataset, "train").as_numpy_iterator()]
    assert keys[:8] == [f"train/0-{i}" for i in range(7)] + ["train/1-0"]


def test_16_bit_masks_keep_their_ids(tmp_path):
    labels = LabelMap(tuple(LabelClass(i, str(i)) for i in range(400)), ignore_id=65535)
    ids = np.array([0, 1, 255, 256, 399, 65535], np.uint16)
    masks = []

    def paint(image, mask):
        masks.append(np.resize(np.roll(ids, len(masks)), mask.shape).astype(np.uint16))
        return image, masks[-1]

    folder = write_dataset(tmp_path / "deep", {"train": [2], "val": [1]}, labels, change=paint)
    dataset = Dataset.load(folder)
    read = [mask for _, mask, _ in stored_examples(dataset, "train").as_numpy_iterator()]
    np.testing.assert_array_equal(read, masks[:2])
    config = _config(folder, batch_size=1, epochs=1)
    for _, augmented in _batches(dataset, config):
        assert set(np.unique(augmented)) <= set(ids.tolist())


def test_an_unknown_id_in_a_mask_is_refused(tmp_path):
    def spoil(image, mask):
        return image, np.where(mask == 1, 9, mask).astype(np.uint8)

    dataset = Dataset.load(write_dataset(tmp_path / "bad", {"train": [1]}, change=spoil))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"unknown id.*train/0-0"):
        list(stored_examples(dataset, "train"))


def test_a_shard_with_fewer_examples_than_listed_is_refused(dataset_folder):
    dataset = Dataset.load(dataset_folder)
    val = dataset.splits["val"]
    shard = dataclasses.replace(val.shards[0], examples=6)
    split = dataclasses.replace(val, examples=6, shards=(shard,))
    short = dataclasses.replace(dataset, splits={**dataset.splits, "val": split})
    with pytest.raises(tf.errors.FailedPreconditionError, match="6 elements"):
        list(stored_examples(short, "val"))


@pytest.mark.parametrize("sampling", ["uniform", "class_balanced"])
def test_a_batch_s_keys_are_those_of_its_examples(dataset, sampling):
    """Known by their pixels, which are stored once each."""
    key_of = {
        image.tobytes(): key.decode()
        for image, _, key in stored_examples(dataset, "train").as_numpy_iterator()
    }
    config = _config(dataset.folder, augmentation=PLAIN, sampling=sampling, seed=3)
    found = [
        [key_of[image.tobytes()] for image in images] for images, _ in _batches(dataset, config)
    ]
    steps = len(found) // config.epochs
    assert found == [
        training_keys(dataset, config, epoch, batch)
        for epoch in range(config.epochs)
        for batch in range(steps)
    ]
