"""Which bundles go together."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from segflow.ensemble.config import EnsembleConfig
from segflow.ensemble.members import load_dataset, load_members
from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap
from tests.bundles import EmptyModel, write_bundle
from tests.unit.train.datasets import write_dataset

LABELS = LabelMap((LabelClass(0, "ground"), LabelClass(1, "disc"), LabelClass(2, "bar")))
OTHER_ORDER = LabelMap((LabelClass(0, "disc"), LabelClass(1, "ground"), LabelClass(2, "bar")))
SIZE = (16, 24)


@pytest.fixture
def write(tmp_path: Path):
    """Writes a bundle named by a number; returns its path."""

    def write(number: int, label_map: LabelMap = LABELS, size: tuple = SIZE, **how) -> str:
        # Whether models go together is settled before one is opened.
        model = EmptyModel(f"day {number}")
        return str(write_bundle(tmp_path / f"model{number}", label_map, size, model=model, **how))

    return write


def _load(*models: str, **settings):
    return load_members(EnsembleConfig(model=models, output="out", **settings))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_map": OTHER_ORDER}, "classes: ground, disc, bar and disc, ground, bar;"),
        ({"label_map": replace(LABELS, ignore_id=254)}, "ignore id: 255 and 254;"),
        ({"resize": "crop"}, "resizing: stretch and crop;"),
        ({"reading": {"bands": [3, 2, 1]}}, r"bands: None and \(3, 2, 1\);"),
        ({"reading": {"value_range": [0, 9]}}, r"value range: \(0, 65535\) and \(0, 9\);"),
    ],
)
def test_models_that_differ_in_what_they_mean_are_refused(write, changes, message):
    with pytest.raises(UsageError, match=f"model0 and .*model1 differ in their {message}"):
        _load(write(0), write(1, **changes))


def test_one_model_given_twice_is_refused(write):
    path = write(0)

    with pytest.raises(UsageError, match="are the same model"):
        _load(path, path)


@pytest.mark.parametrize(
    ("resize", "size", "problem"),
    [
        ("stretch", (9, 40), None),
        ("letterbox", (32, 48), None),
        ("letterbox", (31, 46), None),  # as near as whole pixels come
        ("letterbox", (24, 24), "of one aspect ratio"),
        ("crop", (8, 12), None),
        ("crop", (16, 20), "of one aspect ratio"),
        ("tile", (32, 48), "of one size"),
        ("tile", SIZE, None),
    ],
)
def test_sizes_may_differ_as_far_as_resizing_allows(write, resize, size, problem):
    models = write(0, resize=resize), write(1, size=size, resize=resize)
    if problem is None:
        assert _load(*models).image_size == max(SIZE, size, key=lambda s: s[0] * s[1])
    else:
        with pytest.raises(UsageError, match=f"with --resize {resize} all must be {problem}"):
            _load(*models)


def test_the_size_may_be_chosen(write):
    assert _load(write(0), write(1), image_size="10x12").image_size == (10, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ("a",)}, "two models or more, found 1"),
        ({"member_weights": "fitted"}, "fitted needs a --dataset"),
        ({"member_weights": "0.5,0.5,1"}, "2 positive numbers such as 1,1.*'0.5,0.5,1'"),
        ({"member_weights": "1,0"}, "positive"),
        ({"member_weights": "1,nan"}, "positive"),
        ({"member_weights": "some"}, "must be equal, fitted, or 2"),
        ({"image_size": "9"}, "HEIGHTxWIDTH"),
        ({"batch_size": 0}, "--batch-size must be 1 or more"),
    ],
)
def test_a_wrong_setting_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        EnsembleConfig(**{"model": ("a", "b"), "output": "o", **change})


def test_given_weights_are_divided_by_their_sum():
    config = EnsembleConfig(model=("a", "b"), output="o", member_weights="3,1")
    assert config.given_weights() == [0.75, 0.25]


@pytest.mark.parametrize(
    ("label_map", "split", "message"),
    [
        (OTHER_ORDER, "val", "differ in their classes"),
        (LABELS, "test", re.escape("no split 'test'; it has val")),
    ],
)
def test_a_dataset_that_does_not_fit_is_refused(write, tmp_path, label_map, split, message):
    folder = write_dataset(tmp_path / "data", {"val": [2]}, label_map)
    config = EnsembleConfig(
        model=(write(0), write(1)), output="o", dataset=str(folder), split=split
    )
    with pytest.raises(UsageError, match=message):
        load_dataset(config, load_members(config))
