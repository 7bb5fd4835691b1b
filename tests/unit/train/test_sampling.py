"""Class-balanced sampling: shares by definition, and epochs that keep to them."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap
from segflow.train.augment_config import AugmentationConfig
from segflow.train.config import TrainConfig
from segflow.train.input import stored_examples, training_batches
from segflow.train.sampling import class_balanced_shares
from tests.unit.train.datasets import LABELS, write_dataset

RARE = {3, 11}  # examples, in stored order, that alone hold class 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    number = iter(range(100))

    def change(image, mask):
        if next(number) not in RARE:
            mask = np.where(mask == 2, 0, mask)
        return image, mask.astype(np.uint8)

    folder = tmp_path_factory.mktemp("sampling") / "dataset"
    return Dataset.load(write_dataset(folder, {"train": [7, 5], "val": [2]}, change=change))


def test_shares_are_the_chances_of_drawing_a_class_and_then_one_of_its_examples(dataset):
    masks = [mask for _, mask, _ in stored_examples(dataset, "train").as_numpy_iterator()]
    holding = [[i for i, mask in enumerate(masks) if (mask == c).any()] for c in range(3)]
    expected = np.zeros(12)
    for examples in holding:
        expected[examples] += 1 / 3 / len(examples)

    shares = class_balanced_shares(dataset, "train")

    np.testing.assert_allclose(shares, expected, rtol=1e-12)
    assert shares.sum() == pytest.approx(1)
    assert {int(i) for i in np.argsort(shares)[-2:]} == RARE


def test_an_epoch_shows_each_example_by_its_share(dataset):
    keys = {
        image.tobytes(): index
        for index, (image, _, _) in enumerate(stored_examples(dataset, "train").as_numpy_iterator())
    }
    shares = class_balanced_shares(dataset, "train")
    epochs = 60
    config = TrainConfig(
        str(dataset.folder),
        "out",
        batch_size=4,
        epochs=epochs,
        sampling="class_balanced",
        augmentation=AugmentationConfig(enabled=False),
    )
    shown = [
        keys[image.tobytes()]
        for images, _ in training_batches(dataset, config, 0).as_numpy_iterator()
        for image in images
    ]

    assert len(shown) == 12 * epochs
    for epoch in range(epochs):
        times = Counter(shown[12 * epoch : 12 * epoch + 12])
        for index, share in enumerate(shares):
            assert times[index] in (np.floor(12 * share), np.ceil(12 * share))
    mean = np.bincount(shown, minlength=12) / epochs
    np.testing.assert_allclose(mean, 12 * shares, atol=0.15)


def test_copies_of_one_example_are_augmented_differently(dataset):
    config = TrainConfig(
        str(dataset.folder), "out", batch_size=4, epochs=3, sampling="class_balanced"
    )
    batches = training_batches(dataset, config, 0).as_numpy_iterator()
    images = [image.tobytes() for images, _ in batches for image in images]
    assert len(set(images)) == 36


def test_an_index_that_lacks_an_example_is_refused(tmp_path):
    folder = write_dataset(tmp_path / "dataset", {"train": [4], "val": [1]})
    path = folder / "index/part-00000.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)

    with pytest.raises(UsageError, match=r"does not list every example of \'train\' once"):
        class_balanced_shares(Dataset.load(folder), "train")


def test_a_split_of_ignored_pixels_is_refused(tmp_path):
    folder = write_dataset(
        tmp_path / "dataset",
        {"train": [2], "val": [1]},
        change=lambda image, mask: (image, np.full_like(mask, LABELS.ignore_id)),
    )
    with pytest.raises(UsageError, match="only ignored pixels"):
        class_balanced_shares(Dataset.load(folder), "train")


def test_a_class_that_no_example_holds_has_no_share(tmp_path):
    more = LabelMap((*LABELS.classes, LabelClass(3, "never")))
    folder = write_dataset(tmp_path / "dataset", {"train": [4], "val": [1]}, more)
    assert class_balanced_shares(Dataset.load(folder), "train").sum() == pytest.approx(1)
