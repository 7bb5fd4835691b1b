"""Losses against their definitions in NumPy and SciPy, and what must not count."""

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from segflow.train.config import TrainConfig
from segflow.train.loss_config import LOSS_NAMES, LossConfig
from segflow.train.losses import WeightedSum, build_loss
from segflow.train.losses.boundary import signed_distances
from tests.unit.train.losses.references import IGNORE, REFERENCES

CLASSES = 4
WEIGHTS = {"even": np.ones(CLASSES), "weighted": np.array([0.2, 3.0, 0.0, 1.0])}
OTHER = LossConfig(
    label_smoothing=0.1,
    focal_gamma=0.5,
    ohem_fraction=0.5,
    tversky_alpha=0.9,
    tversky_beta=0.2,
    focal_tversky_gamma=2.0,
)
OPTIONS = {"defaults": LossConfig(), "others": OTHER}

every_loss = pytest.mark.parametrize("name", LOSS_NAMES)


def build(text: str, weights=None, options=OPTIONS["defaults"], classes=CLASSES) -> WeightedSum:
    config = TrainConfig("data", "out", loss=text, loss_options=options)
    return build_loss(config, classes, IGNORE, weights)


def draw(seed: int, batch: int = 3, size: tuple[int, int] = (4, 5), ignored: float = 0.3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, (batch, *size)).astype(np.int32)
    truth[rng.random(truth.shape) < ignored] = IGNORE
    return truth, rng.normal(0, 3, (batch, *size, CLASSES)).astype(np.float32)


def expected(name, truth, logits, weights=WEIGHTS["even"], options=OPTIONS["defaults"]):
    pairs = zip(truth, logits, strict=True)
    return np.array([REFERENCES[name](t, y, weights, options) for t, y in pairs])


def gradient(loss, truth, logits):
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(truth, variable)
    return tape.gradient(value, variable).numpy()


def test_each_name_has_its_reference():
    assert set(REFERENCES) == set(LOSS_NAMES)


@every_loss
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), ignored=st.sampled_from([0.0, 0.3, 0.95, 1.0]))
def test_equals_its_definition_image_by_image(name, options, weights, seed, ignored):
    truth, logits = draw(seed, ignored=ignored)
    images = expected(name, truth, logits, weights, options)
    loss = build(name, weights, options)
    np.testing.assert_allclose(loss.call(truth, logits), images, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(loss(truth, logits), images.mean(), rtol=1e-6, atol=1e-6)


@every_loss
@pytest.mark.parametrize("only", [0, 3])
def test_one_class_in_a_batch_of_one(name, only):
    _, logits = draw(1, batch=1)
    truth = np.full((1, 4, 5), only)
    values = build(name).call(truth, logits)
    np.testing.assert_allclose(values, expected(name, truth, logits), rtol=1e-6, atol=1e-6)


@every_loss
@pytest.mark.filterwarnings("ignore:You are using a softmax")
def test_one_class_in_the_label_map(name):
    truth, logits = np.array([[[0, IGNORE]]]), np.ones((1, 1, 2, 1), np.float32)
    assert build(name, classes=1)(truth, logits).numpy() == pytest.approx(0, abs=1e-7)


@every_loss
def test_only_ignored_pixels_cost_nothing_and_have_no_gradient(name):
    truth, logits = draw(2)
    truth[:] = IGNORE
    assert build(name)(truth, logits).numpy() == 0
    assert not gradient(build(name), truth, logits).any()


@pytest.mark.parametrize("name", [n for n in LOSS_NAMES if n != "boundary"])
def test_a_perfect_prediction_costs_nothing_and_has_a_finite_gradient(name):
    truth, _ = draw(2)
    logits = 100.0 * np.eye(CLASSES, dtype=np.float32)[np.where(truth == IGNORE, 0, truth)]
    assert build(name)(truth, logits).numpy() < 1e-6
    assert np.isfinite(gradient(build(name, options=OTHER), truth, logits)).all()


@every_loss
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_prediction_that_is_wrong_throughout_has_a_finite_gradient(name, options):
    truth, _ = draw(3)
    logits = -100.0 * np.eye(CLASSES, dtype=np.float32)[np.where(truth == IGNORE, 0, truth)]
    loss = build(name, options=options)
    assert np.isfinite(loss(truth, logits)).all()
    assert np.isfinite(gradient(loss, truth, logits)).all()


@every_loss
def test_ignored_pixels_have_zero_gradient_and_cannot_change_the_loss(name):
    truth, logits = draw(3)
    truth[1] = IGNORE
    loss = build(name)
    slopes = gradient(loss, truth, logits)
    assert np.isfinite(slopes).all()
    assert (slopes[truth == IGNORE] == 0).all()
    assert slopes[truth != IGNORE].any()
    changed = np.where((truth == IGNORE)[..., None], 50 * logits[..., ::-1], logits)
    np.testing.assert_array_equal(loss.call(truth, changed), loss.call(truth, logits))


@every_loss
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_gradient_is_that_of_finite_differences(name, options):
    truth, logits = draw(4, batch=1, size=(3, 3), ignored=0.2)
    weights = WEIGHTS["weighted"]
    found = gradient(build(name, weights, options), truth, logits)
    for place in np.ndindex(logits.shape):
        step = np.zeros(logits.shape)
        step[place] = 1e-5
        above = expected(name, truth, logits + step, weights, options)
        below = expected(name, truth, logits - step, weights, options)
        assert found[place] == pytest.approx((above - below)[0] / 2e-5, abs=2e-6)


@every_loss
def test_an_image_of_ignored_pixels_adds_zero_but_counts_in_the_mean(name):
    truth, logits = draw(5, batch=2)
    truth[1] = IGNORE
    alone = build(name)(truth[:1], logits[:1]).numpy()
    assert build(name)(truth, logits).numpy() == pytest.approx(alone / 2, rel=1e-6)


@every_loss
def test_images_of_weight_zero_do_not_count(name):
    truth, logits = draw(6)
    loss = build(name)
    assert loss(truth, logits, np.zeros(3, np.float32)).numpy() == 0
    padded = loss(truth, logits, np.array([3, 0, 0], np.float32)).numpy()
    assert padded == pytest.approx(loss(truth[:1], logits[:1]).numpy(), rel=1e-6)


@every_loss
def test_half_precision_logits_are_computed_in_float32(name):
    truth, logits = draw(7)
    half = tf.cast(logits, tf.bfloat16)
    value = build(name)(truth, half)
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(float(build(name)(truth, tf.cast(half, tf.float32))))


@every_loss
def test_a_graph_gives_what_eager_gives(name):
    truth, logits = draw(8)
    loss = build(name)
    value = tf.function(lambda t, y: loss(t, y))(truth, logits).numpy()
    assert value == pytest.approx(loss(truth, logits).numpy(), rel=1e-6)


def test_a_sum_has_its_factors():
    truth, logits = draw(9)
    parts = [build(name)(truth, logits).numpy() for name in LOSS_NAMES]
    factors = [round(0.1 * (i + 1), 1) for i in range(len(parts))]
    text = "+".join(f"{f}*{n}" for f, n in zip(factors, LOSS_NAMES, strict=True))
    assert build(text)(truth, logits).numpy() == pytest.approx(np.dot(factors, parts), rel=1e-6)


def test_where_losses_meet():
    truth, logits = draw(10)

    def value(name, **options):
        return build(name, options=LossConfig(**options))(truth, logits).numpy()

    same = pytest.approx
    assert value("focal", focal_gamma=0.0) == same(value("ce"), rel=1e-6)
    assert value("ohem", ohem_fraction=1.0) == same(value("ce"), rel=1e-6)
    halves = {"tversky_alpha": 0.5, "tversky_beta": 0.5}
    assert value("tversky", **halves) == same(value("dice"), rel=1e-6)
    assert value("focal_tversky", focal_tversky_gamma=1.0) == same(value("tversky"), rel=1e-6)


@pytest.mark.parametrize("fraction", [0.3, 0.07, 1e-6])
def test_ohem_keeps_a_share_that_is_rounded_up_exactly(fraction):
    """Images with 1, 2, … 120 valid pixels; the share is what its decimal digits say."""
    pixels = 120
    truth = np.full((pixels, 1, pixels), IGNORE, np.int32)
    for image in range(pixels):
        truth[image, 0, : image + 1] = 0
    logits = np.random.default_rng(0).normal(0, 3, (*truth.shape, 2)).astype(np.float32)
    options = LossConfig(ohem_fraction=fraction)
    found = build("ohem", options=options, classes=2).call(truth, logits).numpy()
    entropies = np.logaddexp(0, logits[:, 0, :, 1] - logits[:, 0, :, 0])
    for image, value in enumerate(found):
        kept = math.ceil(Fraction(str(fraction)) * (image + 1))
        hardest = np.sort(entropies[image, : image + 1])[::-1][:kept]
        assert value == pytest.approx(hardest.mean(), rel=1e-5), image + 1


def test_16_bit_ids_and_ignore_id():
    truth = np.array([[[300, 65535]]], np.int32)
    logits = np.zeros((1, 1, 2, 301), np.float32)
    loss = build_loss(TrainConfig("data", "out", loss="ce"), 301, 65535)
    assert loss(truth, logits).numpy() == pytest.approx(np.log(301), rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([(1, 1), (1, 9), (16, 1), (13, 21), (32, 17)]),
    share=st.sampled_from([0.003, 0.1, 0.9]),
)
def test_distances_are_exact(seed, size, share):
    """By the definition, over all pairs of pixels: SciPy has them in the boundary's reference."""
    region = np.random.default_rng(seed).random(size) < share
    truth = np.stack([region, ~region], -1)
    found = signed_distances(tf.constant(truth[None])).numpy()[0, ..., 0]
    rows, columns = np.indices(size)
    to = [(rows - r) ** 2 + (columns - c) ** 2 for r, c in np.argwhere(region)]
    away = [(rows - r) ** 2 + (columns - c) ** 2 for r, c in np.argwhere(~region)]
    if not to or not away:
        assert not found.any()
        return
    inside, outside = 1 - np.sqrt(np.min(away, axis=0)), np.sqrt(np.min(to, axis=0))
    np.testing.assert_allclose(found, np.where(region, inside, outside), rtol=1e-6)


def test_lovasz_gradients_keep_their_precision_in_large_images():
    """A pixel of the class that is missed costs 1 / union of those missed before it, no noise."""
    side = 400
    truth = np.zeros((1, side, side), np.int32)
    truth[0, : side // 2] = 1
    logits = np.random.default_rng(0).normal(size=(1, side, side, 2)).astype(np.float32)
    found = gradient(build("lovasz", classes=2), truth, logits)[0, ..., 1].astype(np.float64)
    p = 1 / (1 + np.exp(np.float64(logits[0, ..., 0]) - logits[0, ..., 1]))
    slopes = np.zeros(side * side)
    for c, probability, sign in ((0, 1 - p, -1.0), (1, p, 1.0)):
        y = (truth[0] == c).ravel().astype(np.float64)
        errors = np.abs(y - probability.ravel())
        order = np.argsort(-errors, kind="stable")
        missed, added = np.cumsum(y[order]), np.cumsum(1 - y[order])
        jaccard = 1 - (y.sum() - missed) / (y.sum() + added)
        steps = np.empty_like(y)
        steps[order] = np.diff(jaccard, prepend=0.0)
        slopes += sign * np.where(y > 0, -1.0, 1.0) * steps / 2
    slopes *= (p * (1 - p)).ravel()
    np.testing.assert_allclose(found.ravel(), slopes, rtol=1e-3)
