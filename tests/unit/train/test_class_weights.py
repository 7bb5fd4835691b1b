"""Weights of the classes from the pixels of the training split."""

import dataclasses

import numpy as np
import pytest

from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap
from segflow.train.class_weights import class_weights
from tests.unit.train.datasets import write_dataset

LABELS = LabelMap(tuple(LabelClass(i, name) for i, name in enumerate("abcd")))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two training masks of 4 x 5: 14 a, 4 b, 2 ignored, and 15 a, 5 c; d is nowhere."""
    masks = [np.zeros((4, 5), np.uint8) for _ in range(3)]
    masks[0].flat[:4], masks[0].flat[4:6] = 1, 255
    masks[1].flat[:5] = 2
    masks[2][:] = 3
    drawn = iter(masks)
    folder = tmp_path_factory.mktemp("weights") / "set"
    counts = {"train": [2], "val": [1]}
    write_dataset(folder, counts, LABELS, (4, 5), lambda image, _: (image[:4, :5], next(drawn)))
    return Dataset.load(folder)


def test_none_means_no_weights(dataset):
    assert class_weights("none", dataset) is None


@pytest.mark.parametrize("rule", ["inverse_frequency", "median_frequency"])
def test_a_rule_gives_what_the_dataset_records(dataset, rule):
    weights = class_weights(rule, dataset)

    assert weights.dtype == np.float32
    recorded = dataset.record["class_weights"][rule]
    np.testing.assert_array_equal(weights, np.float32([recorded[i] for i in "0123"]))
    assert weights.all() == 0 < weights.max()  # class d is nowhere


def test_a_training_split_of_ignored_pixels_alone_has_no_weights(dataset):
    zeros = dict.fromkeys("0123", 0.0)
    record = {**dataset.record, "class_weights": {"median_frequency": zeros}}

    with pytest.raises(UsageError, match="only ignored pixels"):
        class_weights("median_frequency", dataclasses.replace(dataset, record=record))


@pytest.mark.parametrize(
    ("name", "text"),
    [("w.json", '{"a": 1, "b": 2.5, "c": 0, "d": 1}'), ("w.yaml", "a: 1\nb: 2.5\nc: 0\nd: 1\n")],
)
def test_a_file_gives_weights_by_name(dataset, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    np.testing.assert_array_equal(class_weights(str(tmp_path / name), dataset), [1, 2.5, 0, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "c": 1}', "no weight for b, d; expected one for each of a, b, c, d"),
        ('{"a": 1, "b": 1, "c": 1, "d": 1, "x": 1}', "no such class as x; expected one for each"),
        ("[1, 1, 1, 1]", "expected a table"),
        ('{"a": 1, "b": 1, "c": 1, "d": "x"}', "must be numbers"),
        ('{"a": 1, "b": 1, "c": 1, "d": -1}', "must be numbers"),
        ('{"a": 0, "b": 0, "c": 0, "d": 0}', "at least one"),
        ("{", "cannot|neither"),
    ],
)
def test_a_wrong_file_is_refused(dataset, tmp_path, text, message):
    path = tmp_path / "weights.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        class_weights(str(path), dataset)


def test_a_misspelt_rule_is_taken_for_a_file_and_says_so(dataset):
    with pytest.raises(UsageError, match=r"neither a known rule .*median_frequency.* nor a file"):
        class_weights("median", dataset)
