"""Areas adjusted for errors: the paper's printed example, and whether intervals hold the truth."""

import numpy as np
import pytest

from segflow.scores.areas import (
    NeverPredictedError,
    adjusted_areas,
    adjusted_areas_of_pixels,
    effective_number,
)

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
    """Confusion matrices of images whose shares of classes and whose errors vary.

    `pixels` is of each image, or of all: large ones err as small ones do.
    """
    truth = random.dirichlet([2.0, 1.0, 0.5], images)
    errors = np.stack([random.dirichlet(row, images) for row in _ERRORS], axis=1)
    cells = (truth[:, :, np.newaxis] * errors).reshape(images, -1)
    return random.multinomial(pixels, cells).reshape(errors.shape)


_ERRORS = np.array([[12.0, 2.0, 1.0], [2.0, 9.0, 1.0], [1.0, 1.0, 5.0]])


def _adjusted(mapped, matrices, images):
    return adjusted_areas(mapped, lambda: [matrices], images)


def _held(truth, areas):
    return (areas.low <= truth) & (truth <= areas.high)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """300 reference images, 1,000 draws; pixels as units would hold it in a twentieth of them."""
    random = np.random.default_rng(20)
    images, pixels = [], []
    for _ in range(1000):
        world = _world(random, 300 + 500)
        reference, mapped = world[:300], world[300:]
        truth = mapped.sum((0, 2))
        counted = mapped.sum((0, 1))
        images.append(_held(truth, _adjusted(counted, reference, len(mapped))))
        pixels.append(_held(truth, adjusted_areas_of_pixels(counted, reference.sum(0))))
    share = np.mean(images, axis=0)
    assert ((share > 0.91) & (share < 0.98)).all(), share
    assert (np.mean(pixels, axis=0) < 0.12).all()


def _equal(random, images):
    return np.full(images, 4096)


def _unequal(random, images):
    return np.rint(4096 * random.lognormal(0, 1, images)).astype(np.int64)


def _giant(random, images):
    """The first is 95 % of all pixels."""
    return np.r_[images * 4096 * 19, np.full(images - 1, 4096)]


@pytest.mark.parametrize(
    ("of_reference", "of_mapped"),
    [(_equal, _unequal), (_unequal, _unequal), (_unequal, _equal), (_equal, _giant)],
)
def test_images_of_unequal_sizes_count_as_fewer(of_reference, of_mapped):
    """By their mere number, intervals would hold the truth of a giant in a tenth of 300 draws."""
    random = np.random.default_rng(21)
    held = []
    for _ in range(300):
        reference = _world(random, 300, of_reference(random, 300))
        mapped = _world(random, 200, of_mapped(random, 200))
        sizes = mapped.sum((1, 2)).astype(float)
        images = effective_number(sizes.sum(), (sizes**2).sum())
        areas = _adjusted(mapped.sum((0, 1)), reference, images)
        held.append(_held(mapped.sum((0, 2)), areas))
    share = np.mean(held, axis=0)
    assert (share > 0.9).all(), share


def test_the_effective_number_is_that_of_images_of_one_size():
    assert effective_number(7 * 5, 7 * 5**2) == 7
    assert effective_number(100 + 1, 100**2 + 1) == pytest.approx(1.02, abs=0.001)
    assert effective_number(0, 0) == 0


def test_a_model_without_errors_needs_no_adjusting():
    confusion = np.stack([np.diag(row) for row in ([5, 3], [1, 7], [4, 4])])
    areas = _adjusted(np.array([30, 70]), confusion, 9)
    assert areas.adjusted.tolist() == areas.low.tolist() == areas.high.tolist() == [30, 70]


def test_one_reference_image_tells_no_error():
    areas = _adjusted(np.array([30, 70]), np.array([[[3, 1], [1, 5]]]), 9)
    assert areas.adjusted == pytest.approx([30 * 3 / 4 + 70 / 6, 30 / 4 + 70 * 5 / 6])
    assert np.isnan([areas.standard_error, areas.low, areas.high]).all()


def test_a_mapped_class_that_the_reference_never_predicts_is_said():
    confusion = np.array([[[3, 0], [1, 0]]] * 2)
    with pytest.raises(NeverPredictedError, match=r"classes \[1\] are mapped \(70") as caught:
        _adjusted(np.array([30, 70]), confusion, 9)
    assert (caught.value.classes, caught.value.share) == ([1], 0.7)
    areas = _adjusted(np.array([100, 0]), confusion, 9)
    assert areas.adjusted.tolist() == [75, 25]


def test_a_little_of_a_class_that_was_never_predicted_widens_all_intervals():
    """By all that it could truly be; the class itself stays as mapped."""
    reference = _world(np.random.default_rng(6), 40)
    alone = _adjusted(np.array([50_000, 30_000, 20_000]), reference, 90)
    padded = np.pad(reference, ((0, 0), (0, 1), (0, 1)))
    areas = _adjusted(np.array([50_000, 30_000, 20_000, 500]), padded, 90)
    np.testing.assert_allclose(areas.adjusted, [*alone.adjusted, 500])
    np.testing.assert_allclose(areas.low[:3], alone.low)
    np.testing.assert_allclose(areas.high[:3], alone.high + 500)
    assert np.isnan([areas.standard_error[3], areas.low[3], areas.high[3]]).all()


def test_what_one_reference_image_predicts_widens_all_intervals():
    """Its residual is zero, as if that image were right of all others."""
    reference = np.pad(_world(np.random.default_rng(6), 40), ((0, 0), (0, 1), (0, 1)))
    without = _adjusted(np.array([500, 300, 200, 0]), reference, 90)
    reference[0, :, 3] = [0, 30, 0, 10]
    reference[1, 3, 0] = 1  # the class is shown by two
    areas = _adjusted(np.array([500, 300, 200, 100]), reference, 90)
    assert areas.predicting.tolist() == [40, 40, 40, 1]
    assert areas.showing.tolist() == [40, 40, 40, 2]
    assert np.isnan([areas.standard_error[3], areas.low[3], areas.high[3]]).all()
    np.testing.assert_allclose(areas.adjusted[1], without.adjusted[1] + 75, rtol=1e-3)
    np.testing.assert_allclose(areas.low[1], without.low[1], rtol=1e-3)
    np.testing.assert_allclose(areas.high[1], without.high[1] + 100, rtol=1e-3)
    np.testing.assert_allclose(areas.high[2], without.high[2] + 100, rtol=1e-3)


def test_a_class_that_one_reference_image_shows_has_no_interval():
    """Nor has one that none shows: that there is none of it here is not known."""
    reference = np.pad(_world(np.random.default_rng(6), 40), ((0, 0), (0, 2), (0, 2)))
    reference[0, 3, 0] = 50
    areas = _adjusted(np.array([500, 300, 200, 0, 0]), reference, 90)
    assert np.isnan(areas.low).tolist() == [False, False, False, True, True]
    assert areas.adjusted[3] > 0 == areas.adjusted[4]


@pytest.mark.parametrize("size", [1, 7, 40])
def test_how_many_matrices_are_read_at_a_time_does_not_matter(size):
    reference = _world(np.random.default_rng(4), 40)
    mapped = np.array([500, 300, 200])
    whole = _adjusted(mapped, reference, 25)
    cut = adjusted_areas(mapped, lambda: (reference[i : i + size] for i in range(0, 40, size)), 25)
    for name, values in vars(whole).items():
        np.testing.assert_allclose(getattr(cut, name), values, rtol=1e-10, err_msg=name)


def test_areas_in_another_unit_are_adjusted_by_the_same_shares():
    reference = _world(np.random.default_rng(5), 12)
    pixels = _adjusted(np.array([500, 300, 200]), reference, 25)
    hectares = _adjusted(np.array([0.05, 0.03, 0.02]), reference, 25)
    for name in ("adjusted", "standard_error", "low", "high"):
        np.testing.assert_allclose(getattr(hectares, name), getattr(pixels, name) / 10_000)
    predicted = reference.sum((0, 1))
    np.testing.assert_allclose(pixels.reference, predicted / predicted.sum())


def test_matrices_of_other_classes_are_refused():
    with pytest.raises(ValueError, match="2 areas for matrices of 3 x 3"):
        adjusted_areas(np.array([1, 2]), lambda: [np.ones((5, 3, 3), np.int64)], 9)
