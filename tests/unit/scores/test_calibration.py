"""Calibration, against plain loops and scikit-learn; temperatures that are known."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import log_loss

from segflow.scores.calibration import (
    BINS,
    Reliability,
    calibration,
    fit_temperature,
    negative_log_likelihood,
)


def _softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _drawn(temperature, pixels=20_000, classes=4, seed=0):
    """Logits that are `temperature` times too large, and classes drawn as they should be."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (pixels, classes))
    shares = _softmax(logits).cumsum(1)
    truth = (rng.random((pixels, 1)) > shares).sum(1).clip(0, classes - 1)
    return (logits * temperature).astype(np.float32), truth.astype(np.uint8)


_confidences = hnp.arrays(np.float32, st.integers(0, 60), elements=st.floats(0, 1, width=32))


@given(_confidences, st.randoms())
def test_bins_and_error_equal_a_plain_loop(confidence, random):
    right = np.array([random.random() < 0.5 for _ in confidence], bool)

    found = Reliability.count(confidence, right)

    error = 0.0
    for i in range(BINS):
        inside = [
            k
            for k, p in enumerate(confidence.tolist())
            if (i == 0 or p > i / BINS) and p <= (i + 1) / BINS
        ]
        assert found.pixels[i] == len(inside)
        assert found.hits[i] == sum(right[inside])
        sure = math.fsum(float(confidence[k]) for k in inside)
        assert found.confidence[i] == pytest.approx(sure, abs=1e-9)
        if inside:
            accuracy = sum(right[inside]) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - sure / len(inside))
    if len(confidence):
        assert found.error == pytest.approx(error, abs=1e-9)
    else:
        assert math.isnan(found.error)


@given(_confidences, st.integers(0, 60))
def test_counts_of_parts_add_up(confidence, cut):
    right = confidence > 0.5
    parts = [
        Reliability.count(c, r)
        for c, r in zip(
            (confidence[:cut], confidence[cut:]), (right[:cut], right[cut:]), strict=True
        )
    ]
    total, whole = sum(parts, Reliability.empty()), Reliability.count(confidence, right)
    assert total.pixels.tolist() == whole.pixels.tolist()
    assert total.hits.tolist() == whole.hits.tolist()
    np.testing.assert_allclose(total.confidence, whole.confidence)


def test_it_is_json_and_comes_back():
    whole = Reliability.count(np.array([0.2, 0.91, 1.0]), np.array([True, False, True]))
    again = Reliability.from_dict(json.loads(json.dumps(whole.to_dict())))
    assert again.to_dict() == whole.to_dict()
    assert Reliability.empty().to_dict()["expected_calibration_error"] is None


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_likelihood_is_scikit_learns(temperature):
    logits, truth = _drawn(1.5, pixels=500)
    expected = log_loss(truth, _softmax(logits.astype(float) / temperature), labels=range(4))
    assert negative_log_likelihood(logits, truth, temperature) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_logits_is_found(true):
    assert fit_temperature(*_drawn(true)) == pytest.approx(true, rel=0.03)


def test_no_temperature_of_a_fine_grid_is_likelier():
    logits, truth = _drawn(2.0, pixels=2000)
    grid = np.geomspace(0.05, 20, 1001)
    losses = [negative_log_likelihood(logits, truth, t) for t in grid]
    assert fit_temperature(logits, truth) == pytest.approx(grid[np.argmin(losses)], rel=1e-2)


def test_a_model_that_is_always_right_and_one_that_never_is_stay_in_the_range():
    logits = np.eye(3, dtype=np.float32)[np.arange(30) % 3] * 5
    right, wrong = np.arange(30) % 3, (np.arange(30) + 1) % 3
    sharpest = fit_temperature(logits, right)
    assert 0.05 <= sharpest < 1
    assert negative_log_likelihood(logits, right, sharpest) < 1e-6
    assert fit_temperature(logits, wrong) == pytest.approx(20, rel=1e-3)


@pytest.mark.parametrize("margin", [30, 40, 100])
def test_where_no_temperature_helps_it_is_1(margin):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    logits = (np.eye(3)[truth] * margin + rng.normal(0, 1, (2000, 3))).astype(np.float32)
    found = calibration(logits, truth)
    assert found is not None
    assert (found["temperature"], found["at_bound"]) == (1, False)
    assert found["after"] == found["before"]


@pytest.mark.parametrize("classes", [1, 3])
def test_logits_that_say_nothing_have_no_temperature_but_1(classes):
    assert fit_temperature(np.zeros((5, classes), np.float32), np.zeros(5, int)) == 1


def test_a_temperature_at_an_end_of_the_range_is_told():
    logits = np.eye(3, dtype=np.float32)[np.arange(30) % 3] * 5
    for truth, end in ((np.arange(30) % 3, 0.05), ((np.arange(30) + 1) % 3, 20)):
        found = calibration(logits, truth)
        assert found is not None
        assert (found["temperature"], found["at_bound"]) == (end, True)
    inside = calibration(*_drawn(3.0))
    assert inside is not None
    assert inside["at_bound"] is False


def test_overconfidence_is_mended():
    found = calibration(*_drawn(3.0))
    assert found is not None
    assert found["pixels"] == sum(found["before"]["bins"]["pixels"]) == 20_000
    assert found["before"]["expected_calibration_error"] > 0.1
    assert found["after"]["expected_calibration_error"] < 0.02
    loss = "negative_log_likelihood"
    assert found["after"][loss] < found["before"][loss]
    assert sum(found["after"]["bins"]["hits"]) == sum(found["before"]["bins"]["hits"])
    json.dumps(found, allow_nan=False)


def test_without_a_pixel_there_is_no_calibration():
    assert calibration(np.zeros((0, 3), np.float32), np.zeros(0, np.uint8)) is None
