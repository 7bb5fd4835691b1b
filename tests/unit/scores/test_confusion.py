import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from segflow import scores

IGNORE = 255
_shapes = hnp.array_shapes(max_dims=3, max_side=12)


@st.composite
def _pairs(draw, num_classes=4):
    shape = draw(_shapes)
    ids = st.integers(0, num_classes - 1)
    truth = draw(hnp.arrays(np.uint8, shape, elements=ids | st.just(IGNORE)))
    return truth, draw(hnp.arrays(np.uint8, shape, elements=ids))


def _naive(truth, prediction, num_classes):
    counts = [[0] * num_classes for _ in range(num_classes)]
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t != IGNORE:
            counts[t][p] += 1
    return counts


@given(_pairs())
def test_the_confusion_matrix_equals_a_plain_loop(pair):
    truth, prediction = pair

    confusion = scores.confusion_matrix(truth, prediction, 4, IGNORE)

    assert confusion.dtype == np.int64
    assert confusion.tolist() == _naive(truth, prediction, 4)


@given(_pairs())
def test_each_pixel_that_counts_is_counted_once(pair):
    truth, prediction = pair
    assert scores.confusion_matrix(truth, prediction, 4, IGNORE).sum() == (truth != IGNORE).sum()


@given(_pairs(), _pairs())
def test_matrices_of_parts_add_up(first, second):
    """What lets shards be scored apart."""
    whole = [np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(first, second, strict=True)]
    parts = [scores.confusion_matrix(*pair, 4, IGNORE) for pair in (first, second)]

    np.testing.assert_array_equal(scores.confusion_matrix(*whole, 4, IGNORE), sum(parts))


def test_rows_are_truth_and_columns_prediction():
    confusion = scores.confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 1]), 2, IGNORE)
    assert confusion.tolist() == [[0, 2], [0, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("ignore_id", [200, 255])
def test_narrow_types_do_not_wrap(dtype, ignore_id):
    """150 * 151 + 149 is far beyond 8 bits."""
    truth = np.array([150, 150, 3, ignore_id], dtype)
    prediction = np.array([149, 150, 3, 0], dtype)

    confusion = scores.confusion_matrix(truth, prediction, 151, ignore_id)

    assert confusion[150, 149] == confusion[150, 150] == confusion[3, 3] == 1
    assert confusion.sum() == 3


def test_an_ignore_id_beyond_the_dtype_ignores_nothing():
    truth = np.array([0, 1], np.uint8)
    assert scores.confusion_matrix(truth, truth, 2, 1000).sum() == 2


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0, 2], [0, 1], "truth holds ids 0 to 2; expected 0 to 1"),
        ([0, 1], [0, 2], "prediction holds ids 0 to 2"),
        ([0, -1], [0, 1], "truth holds ids -1 to 0"),
        ([0, 1], [0, 255], "prediction holds ids 0 to 255"),
        ([0, 1], [0], "differ in shape"),
    ],
)
def test_ids_without_a_class_are_refused_not_dropped(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        scores.confusion_matrix(np.array(truth), np.array(prediction), 2, IGNORE)


def test_a_prediction_on_an_ignored_pixel_does_not_matter():
    truth, prediction = np.array([IGNORE, 0]), np.array([77, 0])
    assert scores.confusion_matrix(truth, prediction, 1, IGNORE).tolist() == [[1]]


# IoU = TP / (TP + FP + FN)


def test_iou_of_a_worked_example():
    confusion = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])

    ious = scores.iou_per_class(confusion)

    assert ious[:2].tolist() == [3 / 6, 4 / 7]
    assert math.isnan(ious[2])


def test_a_class_absent_from_truth_and_prediction_is_left_out_of_the_mean():
    assert scores.mean_iou(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])) == (3 / 6 + 4 / 7) / 2


def test_a_class_that_is_only_predicted_counts_as_zero():
    assert scores.mean_iou(np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]])) == (3 / 4 + 1 + 0) / 3


def test_a_class_that_is_never_found_counts_as_zero():
    assert scores.mean_iou(np.array([[3, 0], [1, 0]])) == (3 / 4 + 0) / 2


def test_nothing_to_score_is_nan():
    assert math.isnan(scores.mean_iou(np.zeros((3, 3), np.int64)))


@given(_pairs())
def test_scores_lie_between_zero_and_one_and_a_perfect_prediction_scores_one(pair):
    truth, prediction = pair
    ious = scores.iou_per_class(scores.confusion_matrix(truth, prediction, 4, IGNORE))
    defined = ious[~np.isnan(ious)]
    assert ((defined >= 0) & (defined <= 1)).all()

    perfect = scores.confusion_matrix(truth, np.where(truth == IGNORE, 0, truth), 4, IGNORE)
    if perfect.sum():
        assert scores.mean_iou(perfect) == 1.0


# summarize


def test_the_summary_of_a_worked_example():
    summary = scores.summarize(np.array([[3, 1], [2, 4]]), ["sky", "road"])

    assert summary["mean_iou"] == (3 / 6 + 4 / 7) / 2
    assert summary["pixel_accuracy"] == 7 / 10
    assert summary["per_class"]["sky"] == {
        "iou": 3 / 6,
        "dice": 6 / 9,
        "precision": 3 / 5,
        "recall": 3 / 4,
        "pixels": 4,
    }
    assert summary["confusion_matrix"] == [[3, 1], [2, 4]]


def test_an_undefined_score_is_none_and_the_summary_is_json():
    summary = scores.summarize(np.array([[3, 0], [0, 0]]), ["sky", "road"])

    assert summary["per_class"]["road"] == {
        "iou": None,
        "dice": None,
        "precision": None,
        "recall": None,
        "pixels": 0,
    }
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_summary_of_nothing_is_all_none():
    summary = scores.summarize(np.zeros((1, 1), np.int64), ["sky"])

    assert summary["mean_iou"] is None
    assert summary["frequency_weighted_iou"] is None
    assert summary["pixel_accuracy"] is None


def test_pixel_counts_beyond_32_bits_are_exact():
    confusion = np.array([[2**40 + 1, 0], [0, 2**33]], np.int64)
    summary = scores.summarize(confusion, ["sky", "road"])

    assert summary["per_class"]["sky"]["pixels"] == 2**40 + 1
    assert summary["confusion_matrix"][1][1] == 2**33


def test_names_must_match_the_matrix():
    with pytest.raises(ValueError, match="2 names for a 3 x 3 matrix"):
        scores.summarize(np.zeros((3, 3), np.int64), ["sky", "road"])


# against scikit-learn


@given(_pairs())
def test_scores_are_those_of_scikit_learn(pair):
    truth, prediction = pair
    summary = scores.summarize(scores.confusion_matrix(truth, prediction, 4, IGNORE), [*"abcd"])
    kept = truth != IGNORE
    if not kept.any():
        return
    seen, said = truth[kept], prediction[kept]
    labels = np.union1d(seen, said).tolist()
    options = {"labels": labels, "average": None, "zero_division": np.nan}
    expected = {
        "iou": metrics.jaccard_score(seen, said, labels=labels, average=None),
        "dice": metrics.f1_score(seen, said, **options),
        "precision": metrics.precision_score(seen, said, **options),
        "recall": metrics.recall_score(seen, said, **options),
    }
    for name, values in expected.items():
        found = [summary["per_class"]["abcd"[i]][name] for i in labels]
        np.testing.assert_allclose(np.array(found, float), values, rtol=1e-12)
    weighted = metrics.jaccard_score(seen, said, labels=labels, average="weighted")
    assert summary["frequency_weighted_iou"] == pytest.approx(weighted, rel=1e-12)
    assert summary["mean_iou"] == pytest.approx(expected["iou"].mean(), rel=1e-12)
    assert summary["pixel_accuracy"] == pytest.approx(metrics.accuracy_score(seen, said))
