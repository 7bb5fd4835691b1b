"""The streaming confusion matrix against `segflow.scores`, and against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segflow import scores
from segflow.train.metrics import ConfusionMatrix

CLASSES, IGNORE = 3, 255


def _draw(seed: int, batch: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, IGNORE], (batch, 4, 5))
    return truth, rng.normal(size=(batch, 4, 5, CLASSES)).astype(np.float32)


def _matrix(truth: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return scores.confusion_matrix(truth, logits.argmax(-1), CLASSES, IGNORE)


@settings(max_examples=20)
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3))
def test_it_sums_batches_exactly(seeds):
    metric = ConfusionMatrix(CLASSES, IGNORE)
    total = np.zeros((CLASSES, CLASSES), np.int64)
    for seed in seeds:
        truth, logits = _draw(seed)
        metric.update_state(truth, logits)
        total += _matrix(truth, logits)
    np.testing.assert_array_equal(metric.numpy(), total)
    result = metric.result()
    expected = scores.summarize(total, "abc")
    assert float(result["mean_iou"]) == pytest.approx(expected["mean_iou"], abs=1e-6)
    assert float(result["pixel_accuracy"]) == pytest.approx(expected["pixel_accuracy"], abs=1e-6)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_it_counts_pixel_by_pixel(seed):
    truth, logits = _draw(seed, batch=3)
    truth[1] = IGNORE
    metric = ConfusionMatrix(CLASSES, IGNORE)
    metric.update_state(truth, logits, np.array([2.0, 2.0, 0.0], np.float32))
    expected = np.zeros((CLASSES, CLASSES), np.int64)
    for t, pixel in zip(truth[:2].ravel(), logits[:2].reshape(-1, CLASSES), strict=True):
        if t != IGNORE:
            expected[t, max(range(CLASSES), key=lambda c, p=pixel: p[c])] += 1
    np.testing.assert_array_equal(metric.numpy(), expected)
    ious = []
    for c in range(CLASSES):
        union = expected[c].sum() + expected[:, c].sum() - expected[c, c]
        ious += [expected[c, c] / union] if union else []
    assert float(metric.result()["mean_iou"]) == pytest.approx(np.mean(ious), abs=1e-6)
    right = np.trace(expected) / expected.sum()
    assert float(metric.result()["pixel_accuracy"]) == pytest.approx(right, abs=1e-6)


def test_a_class_in_neither_truth_nor_prediction_is_left_out_of_the_mean():
    metric = ConfusionMatrix(CLASSES, IGNORE)
    logits = np.zeros((1, 1, 2, CLASSES), np.float32)
    logits[..., 0] = 1
    metric.update_state(np.array([[[0, 1]]]), logits)
    assert float(metric.result()["mean_iou"]) == pytest.approx((0.5 + 0.0) / 2)


def test_a_false_class_counts_against_the_score():
    metric = ConfusionMatrix(CLASSES, IGNORE)
    truth = np.zeros((1, 1, 4), np.int32)
    logits = np.zeros((1, 1, 4, CLASSES), np.float32)
    logits[0, 0, :2, 0], logits[0, 0, 2:, 2] = 1, 1
    metric.update_state(truth, logits)
    assert float(metric.result()["mean_iou"]) == pytest.approx(0.25)


def test_images_of_weight_zero_are_dropped():
    truth, logits = _draw(1, batch=3)
    metric = ConfusionMatrix(CLASSES, IGNORE)
    metric.update_state(truth, logits, np.array([0.0, 1.25, 0.0], np.float32))
    np.testing.assert_array_equal(metric.numpy(), _matrix(truth[1:2], logits[1:2]))


def test_counts_beyond_32_bits_stay_exact():
    metric = ConfusionMatrix(CLASSES, IGNORE)
    metric.counts.assign(np.full((CLASSES, CLASSES), 2**53 + 1, np.int64))
    truth, logits = _draw(2)
    metric.update_state(truth, logits)
    np.testing.assert_array_equal(metric.numpy(), _matrix(truth, logits) + 2**53 + 1)


def test_it_starts_anew_after_a_reset():
    metric = ConfusionMatrix(CLASSES, IGNORE)
    metric.update_state(*_draw(3))
    metric.reset_state()
    assert not metric.numpy().any()
    assert float(metric.result()["mean_iou"]) == 0


def test_the_ignored_id_is_the_one_given():
    truth, logits = _draw(4)
    truth[truth == IGNORE] = 0
    metric = ConfusionMatrix(CLASSES, ignore_id=1)
    metric.update_state(truth, logits)
    expected = scores.confusion_matrix(truth, logits.argmax(-1), CLASSES, ignore_id=1)
    np.testing.assert_array_equal(metric.numpy(), expected)
    assert not metric.numpy()[1].any()
