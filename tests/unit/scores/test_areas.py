"""Areas adjusted for errors: the paper's printed example, and whether intervals hold the truth."""

import numpy as np
import pytest

from segflow.scores.areas import adjusted_areas, adjusted_areas_of_pixels

# Olofsson et al. 2014, table 8: reference samples by mapped class (rows) and truth (columns):
# deforestation, forest gain, stable forest, stable non-forest; and pixels mapped as each.
_PAPER = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
_MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000])
_HECTARES = 0.09  # a pixel of 30 m x 30 m


def test_the_worked_example_of_the_paper():
    areas = adjusted_areas_of_pixels(_MAPPED, _PAPER.T)

    hectares = areas.adjusted * _HECTARES
    margin = (areas.high - areas.adjusted) * _HECTARES
    assert areas.adjusted[0] == pytest.approx(235_086, abs=0.5)
    assert (areas.standard_error[0] / 10_000_000) == pytest.approx(0.0035, abs=5e-5)
    assert np.round(hectares).tolist() == [21_158, 11_686, 285_770, 581_386]
    assert np.round(margin).tolist() == [6_158, 3_756, 15_510, 16_282]
    assert areas.adjusted.sum() == pytest.approx(_MAPPED.sum())


def _world(random, images, pixels=4096):
    """Confusion matrices of images whose shares of classes and whose errors vary."""
    truth = random.dirichlet([2.0, 1.0, 0.5], images)
    errors = np.stack([random.dirichlet(row, images) for row in _ERRORS], axis=1)
    cells = (truth[:, :, np.newaxis] * errors).reshape(images, -1)
    return random.multinomial(pixels, cells).reshape(errors.shape)


_ERRORS = np.array([[12.0, 2.0, 1.0], [2.0, 9.0, 1.0], [1.0, 1.0, 5.0]])


def _held(truth, areas):
    return (areas.low <= truth) & (truth <= areas.high)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """300 reference images, 1,000 draws; pixels as units would hold it in a tenth of them."""
    random = np.random.default_rng(20)
    images, pixels = [], []
    for _ in range(1000):
        world = _world(random, 300 + 500)
        reference, mapped = world[:300], world[300:]
        truth = mapped.sum((0, 2))
        counted = mapped.sum((0, 1))
        images.append(_held(truth, adjusted_areas(counted, reference, len(mapped))))
        pixels.append(_held(truth, adjusted_areas_of_pixels(counted, reference.sum(0))))
    share = np.mean(images, axis=0)
    assert ((share > 0.91) & (share < 0.98)).all(), share
    assert (np.mean(pixels, axis=0) < 0.3).all()


def test_a_model_without_errors_needs_no_adjusting():
    confusion = np.stack([np.diag(row) for row in ([5, 3], [1, 7], [4, 4])])
    areas = adjusted_areas(np.array([30, 70]), confusion, 9)
    assert areas.adjusted.tolist() == areas.low.tolist() == areas.high.tolist() == [30, 70]


def test_one_reference_image_tells_no_error():
    areas = adjusted_areas(np.array([30, 70]), np.array([[[3, 1], [1, 5]]]), 9)
    assert areas.adjusted == pytest.approx([30 * 3 / 4 + 70 / 6, 30 / 4 + 70 * 5 / 6])
    assert np.isnan([areas.standard_error, areas.low, areas.high]).all()


def test_a_mapped_class_that_the_reference_never_predicts_is_said():
    confusion = np.array([[[3, 0], [1, 0]]] * 2)
    with pytest.raises(ValueError, match=r"classes \[1\] are mapped, but never predicted"):
        adjusted_areas(np.array([30, 70]), confusion, 9)
    areas = adjusted_areas(np.array([100, 0]), confusion, 9)
    assert areas.adjusted.tolist() == [75, 25]
