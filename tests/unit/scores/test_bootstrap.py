"""Bootstrap intervals, against drawing images one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils import resample

from segflow import scores
from segflow.scores.bootstrap import Bootstrap


def _matrices(images, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.3, 0.95, images)
    matrices = rng.integers(0, 400, (images, classes, classes))
    for matrix, share in zip(matrices, skill, strict=True):
        matrix[np.diag_indices(classes)] += (4000 * share * rng.random(classes)).astype(int)
    return matrices


def _intervals(matrices, resamples=1000, cuts=()):
    bootstrap = Bootstrap(len(matrices), matrices.shape[-1], resamples)
    for part in np.split(matrices, cuts):
        bootstrap.add(part)
    return bootstrap.intervals()


def test_intervals_are_those_of_drawing_images_with_replacement():
    matrices = _matrices(40)
    found = _intervals(matrices, resamples=4000)
    totals = [resample(matrices, random_state=i).sum(0) for i in range(4000)]
    expected = {
        "mean_iou": [scores.mean_iou(total) for total in totals],
        "pixel_accuracy": [np.trace(total) / total.sum() for total in totals],
    }
    for name, values in expected.items():
        width = np.ptp(np.quantile(values, [0.025, 0.975]))
        np.testing.assert_allclose(
            found[name], np.quantile(values, [0.025, 0.975]), atol=0.08 * width
        )
    by_class = np.quantile([scores.iou_per_class(t) for t in totals], [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found["iou"], by_class.T, atol=0.08 * np.ptp(by_class, 0).max())


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.lists(st.integers(0, 30), max_size=4))
def test_each_resample_draws_as_many_images_as_there_are(images, cuts):
    """One pixel an image: it is right everywhere, so every resample must be, too."""
    bootstrap = Bootstrap(images, 1, 200)
    for part in np.split(np.ones((images, 1, 1), np.int64), sorted(cuts)):
        bootstrap.add(part)
    assert bootstrap._sums.tolist() == [[images] * 3] * 200


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 30), max_size=4))
def test_batches_do_not_matter(cuts):
    matrices = _matrices(30)
    assert _intervals(matrices, 100, sorted(cuts)) == _intervals(matrices, 100)


def test_two_images_give_the_three_resamples_there_are():
    """Good twice, bad twice, or each once: 1/4, 1/4, 1/2."""
    matrices = np.array([[[8, 2], [0, 10]], [[2, 8], [0, 10]]])
    bootstrap = Bootstrap(2, 2, 4000)
    bootstrap.add(matrices)
    hits = bootstrap._sums[:, 0]
    assert set(hits) == {4, 10, 16}
    assert (hits == 10).mean() == pytest.approx(0.5, abs=0.03)


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


def test_images_are_counted():
    bootstrap = Bootstrap(2, 3)
    with pytest.raises(ValueError, match="2 are missing"):
        bootstrap.intervals()
    with pytest.raises(ValueError, match="expected 2 images, found more"):
        bootstrap.add(_matrices(3))


def test_large_counts_are_exact():
    matrices = np.full((2, 1, 1), 2**50 + 1)
    bootstrap = Bootstrap(2, 1, 10)
    bootstrap.add(matrices)
    assert bootstrap._sums[:, 0].tolist() == [2 * (2**50 + 1)] * 10
