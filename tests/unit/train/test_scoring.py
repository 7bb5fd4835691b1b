"""Scoring a split: exact counts, calibration, and the examples to show."""

import dataclasses
import io

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from segflow import scores
from segflow.dataset import Dataset
from segflow.train import scoring
from segflow.train.input import stored_examples
from segflow.train.scoring import score_split, write_examples
from tests.unit.train.datasets import LABELS, SIZE, write_dataset


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


def test_the_scores_are_those_of_all_examples_together(found, by_hand):
    total = sum(confusion for _, confusion in by_hand)
    expected = scores.summarize(total, LABELS.names)
    assert found.summary["confusion_matrix"] == expected["confusion_matrix"]
    assert 0.5 < found.summary["mean_iou"] == expected["mean_iou"] < 1
    low, high = found.summary["intervals"]["mean_iou"]
    assert low < expected["mean_iou"] < high
    assert 0 < found.summary["mean_boundary_iou"] < 1


def _of(found, rank):
    return [one for one in found.shown if one.rank == rank]


def test_worst_median_and_best_are_where_the_ranking_says(found, by_hand):
    ranking = sorted((scores.mean_iou(c), key) for key, c in by_hand if c.any())
    assert len(ranking) == 17
    shown = {r: [(e.mean_iou, e.key) for e in _of(found, r)] for r in ("worst", "median", "best")}
    assert shown["worst"] == ranking[:8]
    assert shown["best"] == ranking[::-1][:4]
    assert shown["median"] == ranking[8:10]  # of 6 to 9, what is not among the worst


def test_of_few_examples_half_are_the_worst_and_none_is_both(model, dataset_folder):
    found = score_split(model, Dataset.load(dataset_folder), "val", batch_size=4)
    best, worst = _of(found, "best"), _of(found, "worst")
    assert (len(best), len(worst), _of(found, "median")) == (3, 2, [])
    assert not {e.key for e in best} & {e.key for e in worst}
    assert min(e.mean_iou for e in best) >= max(e.mean_iou for e in worst)


def test_doubtful_examples_are_those_the_model_is_surest_to_contradict(found, model, dataset):
    shares = {}
    for image, mask, key in stored_examples(dataset, "val").as_numpy_iterator():
        logits = model.predict(image[None], verbose=0)[0].astype(float)
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        sure = (chances.max(-1) >= 0.9) & (logits.argmax(-1) != mask) & (mask != 255)
        shares[key.decode()] = sure.sum() / max(1, (mask != 255).sum())
    doubtful = _of(found, "doubtful")
    largest = sorted(shares.values(), reverse=True)[:8]
    assert [e.confident_disagreement for e in doubtful] == pytest.approx(largest)
    assert all(shares[e.key] == pytest.approx(e.confident_disagreement) for e in doubtful)
    assert all(e.doubtful.sum() for e in doubtful)


def test_next_to_no_disagreement_is_not_shown(found, model, dataset, monkeypatch):
    shares = [example.confident_disagreement for example in _of(found, "doubtful")]
    monkeypatch.setattr(scoring, "NOTEWORTHY", shares[2])
    again = score_split(model, dataset, "val", 4)
    assert [e.confident_disagreement for e in _of(again, "doubtful")] == shares[:3]


def test_the_temperature_is_fitted_on_all_valid_pixels_of_a_small_split(found, by_hand):
    pixels = sum(int(confusion.sum()) for _, confusion in by_hand)
    assert found.calibration["pixels"] == pixels
    before, after = found.calibration["before"], found.calibration["after"]
    assert after["negative_log_likelihood"] < before["negative_log_likelihood"]
    hits = sum(int(np.trace(confusion)) for _, confusion in by_hand)
    assert sum(before["bins"]["hits"]) == sum(after["bins"]["hits"]) == hits
    assert found.calibration["temperature"] > 1  # logits of hundreds are never that sure


def test_of_a_large_split_a_sample_of_the_pixels_is_kept(model, dataset, found, monkeypatch):
    monkeypatch.setattr(scoring, "_LOGITS_KEPT", 6000)
    first, second = (score_split(model, dataset, "val", 4).calibration for _ in range(2))
    assert first == second
    assert 1500 < first["pixels"] < 2100
    assert first["temperature"] == pytest.approx(found.calibration["temperature"], rel=0.2)


def test_the_pictures_come_back_from_the_table(found, tmp_path):
    write_examples(tmp_path / "e.parquet", found.shown, np.uint8)
    rows = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert [(r["rank"], r["key"]) for r in rows] == [(e.rank, e.key) for e in found.shown]
    for row, example in zip(rows, found.shown, strict=True):
        assert row["mean_iou"] == example.mean_iou
        assert row["confident_disagreement"] == example.confident_disagreement
        image = np.asarray(Image.open(io.BytesIO(row["image"])), np.float32)
        assert np.abs(image - example.image).mean() < 16
        for name in ("truth", "prediction", "doubtful"):
            ids = np.asarray(Image.open(io.BytesIO(row[name])))
            np.testing.assert_array_equal(ids, getattr(example, name))


def test_16_bit_ids_are_written_whole(found, tmp_path):
    truth = found.shown[0].truth.copy()
    truth[0, 0] = 300
    write_examples(
        tmp_path / "e.parquet", [dataclasses.replace(found.shown[0], truth=truth)], np.uint16
    )
    row = pq.read_table(tmp_path / "e.parquet").to_pylist()[0]
    assert np.asarray(Image.open(io.BytesIO(row["truth"])))[0, 0] == 300
