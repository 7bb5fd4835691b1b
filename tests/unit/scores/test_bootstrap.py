"""Bootstrap intervals, against drawing images with scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.utils import resample

from segflow import scores
from segflow.scores.bootstrap import Bootstrap, poisson_weights, splitmix64


def _matrices(images, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.3, 0.95, images)
    matrices = rng.integers(0, 400, (images, classes, classes))
    for matrix, share in zip(matrices, skill, strict=True):
        matrix[np.diag_indices(classes)] += (4000 * share * rng.random(classes)).astype(int)
    return matrices


def _keys(count):
    return [f"{number}.png" for number in range(count)]


def _intervals(matrices, resamples=1000, cuts=(), keys=None):
    bootstrap = Bootstrap(matrices.shape[-1], resamples)
    keys = keys or _keys(len(matrices))
    ends = [0, *cuts, len(keys)]
    for start, end in itertools.pairwise(ends):
        bootstrap.add(keys[start:end], matrices[start:end])
    return bootstrap.intervals()


def test_intervals_are_those_of_drawing_images_with_replacement():
    matrices = _matrices(100)
    found = _intervals(matrices, resamples=4000)
    totals = [resample(matrices, random_state=i).sum(0) for i in range(4000)]
    expected = {
        "mean_iou": [scores.mean_iou(total) for total in totals],
        "pixel_accuracy": [np.trace(total) / total.sum() for total in totals],
    }
    for name, values in expected.items():
        width = np.ptp(np.quantile(values, [0.025, 0.975]))
        assert np.ptp(found[name]) == pytest.approx(width, rel=0.06)
        np.testing.assert_allclose(
            found[name], np.quantile(values, [0.025, 0.975]), atol=0.06 * width
        )
    by_class = np.quantile([scores.iou_per_class(t) for t in totals], [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found["iou"], by_class.T, atol=0.06 * np.ptp(by_class, 0).max())


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 250 sets of 80 images, drawn from many, whose accuracy is known."""
    everything = _matrices(20_000, seed=1)
    truth = everything[:, range(3), range(3)].sum() / everything.sum()
    held = 0
    for some in np.split(everything, 250):
        low, high = _intervals(some, 400)["pixel_accuracy"]
        held += low <= truth <= high
    assert held / 250 == pytest.approx(0.94, abs=0.035)


def test_how_often_an_image_is_drawn_is_a_poisson_number():
    weights = poisson_weights(_keys(300), 1000)
    for number in range(6):
        share = stats.poisson.pmf(number, 1)
        assert (weights == number).mean() == pytest.approx(share, rel=0.05)
    assert weights.max() <= 8
    assert weights.mean() == pytest.approx(1, abs=0.006)  # three standard errors
    for related in (np.corrcoef(weights), np.corrcoef(weights.T)):
        off = related[~np.eye(len(related), dtype=bool)]
        assert off.std() == pytest.approx(1 / np.sqrt(weights.size / len(related)), rel=0.05)


def test_the_generator_is_splitmix64():
    """The numbers of Vigna's splitmix64.c for the seeds 0 and 1234567."""
    found = splitmix64(np.array([0, 1234567], np.uint64), 3)
    assert found.tolist() == [
        [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F],
        [6457827717110365317, 3203168211198807973, 9817491932198370423],
    ]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 30), max_size=4), st.permutations(range(30)))
def test_neither_batches_nor_the_order_matter(cuts, order):
    matrices, keys = _matrices(30), _keys(30)
    shuffled = _intervals(matrices[order], 100, sorted(cuts), [keys[i] for i in order])
    assert shuffled == _intervals(matrices, 100)


def test_a_class_in_few_images_is_left_out_where_it_is_not_drawn():
    matrices = np.zeros((6, 2, 2), np.int64)
    matrices[:, 0, 0] = 100
    matrices[0, 1, 1] = 50
    found = _intervals(matrices)
    assert found["iou"] == [[1, 1], [1, 1]]
    assert found["mean_iou"] == [1, 1]


def test_one_image_or_no_valid_pixel_has_no_interval():
    nothing = {"mean_iou": None, "pixel_accuracy": None, "iou": [None] * 3}
    assert _intervals(_matrices(1)) == nothing
    assert _intervals(np.zeros((5, 3, 3), np.int64)) == nothing


def test_large_counts_are_exact():
    bootstrap = Bootstrap(1, 4)
    bootstrap.add(_keys(2), np.full((2, 1, 1), 2**49 + 1))
    drawn = poisson_weights(_keys(2), 4).sum(0)
    assert bootstrap._sums[:, 0].tolist() == [n * (2**49 + 1) for n in drawn]
