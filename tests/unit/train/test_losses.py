"""Losses against their definitions in NumPy, and what must not count."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from segflow.train.losses import CrossEntropy, Dice, build_loss

CLASSES, IGNORE = 4, 255


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(truth: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float:
    """Of one image, pixel by pixel."""
    valid = truth != IGNORE
    if not valid.any():
        return 0.0
    p = softmax(logits.astype(np.float64))
    terms = [weights[c] * -np.log(p[i, c]) for i, c in zip(*_pixels(truth, valid), strict=True)]
    return float(sum(terms) / valid.sum())


def dice(truth: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float:
    """Of one image, class by class."""
    valid = truth != IGNORE
    p = softmax(logits.astype(np.float64))[valid]
    present = [c for c in range(len(weights)) if (truth == c).any() and weights[c] > 0]
    losses = []
    for c in present:
        y = (truth[valid] == c).astype(np.float64)
        losses.append(1 - 2 * (p[:, c] * y).sum() / (p[:, c].sum() + y.sum()))
    return float(np.average(losses, weights=weights[present])) if present else 0.0


def _pixels(truth: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.flatnonzero(valid), truth[valid]


def _draw(seed: int, batch: int = 3, size: tuple[int, int] = (4, 5), ignored: float = 0.3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, (batch, *size)).astype(np.int32)
    truth[rng.random(truth.shape) < ignored] = IGNORE
    return truth, rng.normal(0, 3, (batch, *size, CLASSES)).astype(np.float32)


def _expected(one_image, truth, logits, weights) -> np.ndarray:
    flat = [one_image(t.ravel(), y.reshape(-1, CLASSES), weights) for t, y in zip(truth, logits)]  # noqa: B905
    return np.array(flat)


LOSSES = [(CrossEntropy, cross_entropy), (Dice, dice)]
WEIGHTS = [np.ones(CLASSES), np.array([0.2, 3.0, 0.0, 1.0])]


@pytest.mark.parametrize("weights", WEIGHTS, ids=["even", "weighted"])
@pytest.mark.parametrize(("loss", "reference"), LOSSES)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), ignored=st.sampled_from([0.0, 0.3, 0.95, 1.0]))
def test_equals_its_definition_image_by_image(loss, reference, weights, seed, ignored):
    truth, logits = _draw(seed, ignored=ignored)
    expected = _expected(reference, truth, logits, weights)
    values = loss(CLASSES, IGNORE, weights).call(truth, logits).numpy()
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6)
    mean = loss(CLASSES, IGNORE, weights)(truth, logits).numpy()
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("loss", "reference"), LOSSES)
@pytest.mark.parametrize("only", [0, 3])
def test_one_class_in_a_batch_of_one(loss, reference, only):
    _, logits = _draw(1, batch=1)
    truth = np.full((1, 4, 5), only)
    expected = _expected(reference, truth, logits, np.ones(CLASSES))
    values = loss(CLASSES, IGNORE).call(truth, logits).numpy()
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("text", ["ce", "dice"])
def test_a_perfect_prediction_costs_nothing(text):
    truth, _ = _draw(2)
    logits = 100.0 * np.eye(CLASSES, dtype=np.float32)[np.where(truth == IGNORE, 0, truth)]
    assert build_loss([(1.0, text)], CLASSES, IGNORE)(truth, logits).numpy() < 1e-6


@pytest.mark.parametrize("name", ["ce", "dice"])
def test_ignored_pixels_have_zero_gradient_and_others_a_finite_one(name):
    truth, logits = _draw(3)
    truth[1] = IGNORE
    loss = build_loss([(1.0, name)], CLASSES, IGNORE)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(truth, variable)
    gradient = tape.gradient(value, variable).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[truth == IGNORE] == 0).all()
    assert (np.abs(gradient[truth != IGNORE]).sum(-1) > 0).all()


@pytest.mark.parametrize("name", ["ce", "dice"])
def test_the_gradient_is_that_of_finite_differences(name):
    truth, logits = _draw(4, batch=1, size=(2, 3))
    reference = {"ce": cross_entropy, "dice": dice}[name]
    flat, weights = logits.reshape(-1, CLASSES).astype(np.float64), WEIGHTS[1]
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = build_loss([(1.0, name)], CLASSES, IGNORE, weights)(truth, variable)
    gradient = tape.gradient(value, variable).numpy().reshape(flat.shape)
    for place in np.ndindex(flat.shape):
        step = np.zeros_like(flat)
        step[place] = 1e-5
        slope = (
            reference(truth.ravel(), flat + step, weights)
            - reference(truth.ravel(), flat - step, weights)
        ) / 2e-5
        assert gradient[place] == pytest.approx(slope, abs=1e-6)


def test_an_image_of_ignored_pixels_adds_zero_but_counts_in_the_mean():
    truth, logits = _draw(5, batch=2)
    truth[1] = IGNORE
    loss = build_loss([(1.0, "ce"), (1.0, "dice")], CLASSES, IGNORE)
    alone = loss(truth[:1], logits[:1]).numpy()
    assert loss(truth, logits).numpy() == pytest.approx(alone / 2, rel=1e-6)


def test_an_image_counts_the_same_however_few_valid_pixels_it_has():
    truth, logits = _draw(6, batch=2, ignored=0)
    truth[1].flat[1:] = IGNORE
    values = CrossEntropy(CLASSES, IGNORE).call(truth, logits).numpy()
    assert CrossEntropy(CLASSES, IGNORE)(truth, logits).numpy() == pytest.approx(values.mean())


def test_a_sum_has_its_factors():
    truth, logits = _draw(7)
    parts = [build_loss([(1.0, n)], CLASSES, IGNORE)(truth, logits).numpy() for n in ("ce", "dice")]
    both = build_loss([(0.7, "ce"), (0.3, "dice")], CLASSES, IGNORE)(truth, logits).numpy()
    assert both == pytest.approx(0.7 * parts[0] + 0.3 * parts[1], rel=1e-6)


def test_16_bit_ids_and_ignore_id():
    truth = np.array([[[300, 65535]]], np.int32)
    logits = np.zeros((1, 1, 2, 301), np.float32)
    value = CrossEntropy(301, 65535)(truth, logits).numpy()
    assert value == pytest.approx(np.log(301), rel=1e-6)


def test_a_wholly_masked_weight_leaves_the_loss_finite():
    truth, logits = _draw(8)
    loss: keras.losses.Loss = build_loss([(1.0, "ce"), (1.0, "dice")], CLASSES, IGNORE)
    assert loss(truth, logits, np.zeros(3, np.float32)).numpy() == 0
