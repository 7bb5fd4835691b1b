"""All scores of a set of images are those of its parts added up."""

import json

import numpy as np
import pytest

from segflow import scores
from segflow.scores.boundary import boundary_counts, boundary_iou
from segflow.scores.tally import Tally

NAMES = ["sky", "road", "car"]


@pytest.fixture(scope="module")
def pairs():
    """12 masks and predictions; class 2 is in none."""
    rng = np.random.default_rng(1)
    truths = rng.integers(0, 2, (12, 8, 9)).repeat(5, 1).repeat(5, 2).astype(np.uint8)
    wrong = rng.random(truths.shape) < 0.1
    predictions = np.where(wrong, 1 - truths, truths)
    truths[:, :3] = 255
    return list(zip(truths, predictions, strict=True))


def _counts(pairs):
    confusion = np.stack([scores.confusion_matrix(*pair, 3, 255) for pair in pairs])
    return confusion, np.stack([boundary_counts(*pair, 3, 255) for pair in pairs])


@pytest.fixture(scope="module")
def summary(pairs):
    tally = Tally(3, ["a", "b"])
    groups, keys = ["a", "b", None, "c"] * 3, [f"{i}.png" for i in range(12)]
    for part in (slice(5), slice(5, None)):
        tally.add(keys[part], *(counts[part] for counts in _counts(pairs)), groups[part])
    return tally.summary(NAMES)


def test_the_plain_scores_are_those_of_the_sum(summary, pairs):
    expected = scores.summarize(_counts(pairs)[0].sum(0), NAMES)
    for name in ("mean_iou", "frequency_weighted_iou", "pixel_accuracy", "confusion_matrix"):
        assert summary[name] == expected[name]
    for name, values in expected["per_class"].items():
        assert values.items() <= summary["per_class"][name].items()


def test_boundary_iou_is_one_ratio_over_all_images(summary, pairs):
    iou = boundary_iou(_counts(pairs)[1].sum(0))
    assert [summary["per_class"][n]["boundary_iou"] for n in NAMES[:2]] == iou[:2].tolist()
    assert summary["per_class"]["car"]["boundary_iou"] is None
    assert summary["mean_boundary_iou"] == iou[:2].mean()


def test_intervals_hold_the_score(summary):
    for name in ("mean_iou", "pixel_accuracy"):
        low, high = summary["intervals"][name]
        assert low < summary[name] < high
    low, high = summary["per_class"]["road"]["iou_interval"]
    assert low < summary["per_class"]["road"]["iou"] < high
    assert summary["per_class"]["car"]["iou_interval"] is None


def test_a_group_is_scored_by_itself(summary, pairs):
    assert list(summary["by_group"]) == ["a", "b"]
    of_a = _counts(pairs[::4])[0].sum(0)
    assert summary["by_group"]["a"] == {
        "examples": 3,
        "mean_iou": scores.mean_iou(of_a),
        "pixel_accuracy": np.trace(of_a) / of_a.sum(),
        "iou": {"sky": scores.iou_per_class(of_a)[0], "road": scores.iou_per_class(of_a)[1]}
        | {"car": None},
    }


def test_it_is_json(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
