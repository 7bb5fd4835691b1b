"""Scoring a split: exact counts, the best and the worst."""

import dataclasses
import io

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from segflow import scores
from segflow.dataset import Dataset
from segflow.train.input import stored_examples
from segflow.train.scoring import score_split, write_examples
from tests.unit.train.datasets import SIZE, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """18 examples for validation; one is wholly ignored."""
    seen = []

    def change(image, mask):
        seen.append(mask)
        return image, np.full_like(mask, 255) if len(seen) == 4 else mask

    folder = tmp_path_factory.mktemp("scoring") / "set"
    return Dataset.load(write_dataset(folder, {"val": [10, 8]}, change=change))


@pytest.fixture(scope="module")
def model():
    """Says red, blue or else ground, and errs where the noise is large."""
    pixels = keras.Input((*SIZE, 3))
    layer = keras.layers.Conv2D(3, 1)
    model = keras.Model(pixels, layer(pixels))
    kernel = np.array([[-1, 1, -1], [1.0, -1, -0.8], [-1, -1, 1]])
    layer.set_weights([kernel.reshape(1, 1, 3, 3), np.array([200.0, 0, 0])])
    return model


@pytest.fixture(scope="module")
def found(model, dataset):
    return score_split(model, dataset, "val", batch_size=4)


@pytest.fixture(scope="module")
def by_hand(model, dataset):
    """Key and confusion matrix of each example."""
    images, masks, keys = zip(*stored_examples(dataset, "val").as_numpy_iterator(), strict=True)
    ids = model.predict(np.stack(images), verbose=0).argmax(-1)
    matrices = [scores.confusion_matrix(*pair, 3, 255) for pair in zip(masks, ids, strict=True)]
    return list(zip([key.decode() for key in keys], matrices, strict=True))


def test_the_matrix_is_the_sum_over_all_examples(found, by_hand):
    total = sum(confusion for _, confusion in by_hand)
    np.testing.assert_array_equal(found.confusion, total)
    assert 0.5 < scores.mean_iou(found.confusion) < 1


def test_best_and_worst_are_the_ends_of_the_ranking(found, by_hand):
    ranking = sorted((scores.mean_iou(c), key) for key, c in by_hand if c.any())
    assert len(ranking) == 17
    assert [(e.mean_iou, e.key) for e in found.worst] == ranking[:8]
    assert [(e.mean_iou, e.key) for e in found.best] == ranking[::-1][:8]


def test_of_few_examples_half_are_the_worst_and_none_is_both(model, dataset_folder):
    found = score_split(model, Dataset.load(dataset_folder), "val", batch_size=4)
    assert (len(found.best), len(found.worst)) == (3, 2)
    assert not {e.key for e in found.best} & {e.key for e in found.worst}
    assert min(e.mean_iou for e in found.best) >= max(e.mean_iou for e in found.worst)


def test_the_pictures_come_back_from_the_table(found, tmp_path):
    write_examples(tmp_path / "e.parquet", found, np.uint8)
    rows = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert [r["rank"] for r in rows] == ["best"] * 8 + ["worst"] * 8
    row, example = rows[8], found.worst[0]
    assert (row["key"], row["mean_iou"]) == (example.key, example.mean_iou)
    image = np.asarray(Image.open(io.BytesIO(row["image"])), np.float32)
    assert np.abs(image - example.image).mean() < 16
    for name in ("truth", "prediction"):
        ids = np.asarray(Image.open(io.BytesIO(row[name])))
        np.testing.assert_array_equal(ids, getattr(example, name))


def test_16_bit_ids_are_written_whole(found, tmp_path):
    truth = found.worst[0].truth.copy()
    truth[0, 0] = 300
    deep = dataclasses.replace(found, best=[dataclasses.replace(found.worst[0], truth=truth)])
    write_examples(tmp_path / "e.parquet", deep, np.uint16)
    row = pq.read_table(tmp_path / "e.parquet").to_pylist()[0]
    assert np.asarray(Image.open(io.BytesIO(row["truth"])))[0, 0] == 300
