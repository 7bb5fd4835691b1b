"""Boundary IoU, against the authors' definition one class at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from segflow.scores.boundary import boundary_counts, boundary_distance, boundary_iou

IGNORE = 255
CLASSES = 3


@st.composite
def _pairs(draw, ignored=True):
    shape = draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    blocks = tuple(-(-side // 6) for side in shape)  # so that classes have an inside
    ids = st.integers(0, CLASSES - 1)
    truth = draw(hnp.arrays(np.uint8, blocks, elements=ids | st.just(IGNORE) if ignored else ids))
    prediction = draw(hnp.arrays(np.uint8, blocks, elements=ids))
    grown = (np.kron(a, np.ones((6, 6), np.uint8)) for a in (truth, prediction))
    return tuple(a[: shape[0], : shape[1]] for a in grown)


def _region(mask, distance):
    """A mask less what `distance` erosions by a square of 3 leave; outside is not in the mask."""
    inside = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance)
    return mask & ~inside


@settings(deadline=None)
@given(_pairs(ignored=False))
def test_counts_are_those_of_the_papers_definition(pair):
    truth, prediction = pair
    distance = max(1, round(0.02 * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))

    counts = boundary_counts(truth, prediction, CLASSES, IGNORE)

    assert counts.dtype == np.int64
    for i in range(CLASSES):
        of_truth, of_prediction = (_region(ids == i, distance) for ids in pair)
        assert counts[0, i] == (of_truth & of_prediction).sum()
        assert counts[1, i] == (of_truth | of_prediction).sum()


def _by_hand(truth, prediction, distance):
    """Pixel by pixel: is another class, or the outside, in the square around it?"""
    valid = truth != IGNORE
    sets = [set(), set()]
    height, width = truth.shape
    for row, column in zip(*np.nonzero(valid), strict=True):
        rows = slice(max(0, row - distance), row + distance + 1)
        columns = slice(max(0, column - distance), column + distance + 1)
        inside = row >= distance <= height - 1 - row and column >= distance <= width - 1 - column
        for ids, found in zip((truth, prediction), sets, strict=True):
            around = ids[rows, columns][valid[rows, columns]]
            if not inside or (around != ids[row, column]).any():
                found.add((row, column, ids[row, column]))
    both, either = sets[0] & sets[1], sets[0] | sets[1]
    return [[sum(i == c for *_, i in s) for c in range(CLASSES)] for s in (both, either)]


@settings(deadline=None, max_examples=25)
@given(_pairs())
def test_ignored_pixels_are_in_no_region_and_make_none(pair):
    truth, prediction = pair
    distance = boundary_distance(truth.shape)
    counts = boundary_counts(truth, prediction, CLASSES, IGNORE)
    assert counts.tolist() == _by_hand(truth, prediction, distance)


@given(_pairs())
def test_what_is_predicted_on_ignored_pixels_does_not_matter(pair):
    truth, prediction = pair
    other = np.where(truth == IGNORE, (prediction + 1) % CLASSES, prediction)
    np.testing.assert_array_equal(
        boundary_counts(truth, prediction, CLASSES, IGNORE),
        boundary_counts(truth, other, CLASSES, IGNORE),
    )


def test_a_perfect_mask_scores_one_and_an_absent_class_has_no_score():
    truth = np.zeros((40, 40), np.uint16)
    truth[10:30, 10:30] = 1
    iou = boundary_iou(boundary_counts(truth, truth, 3, IGNORE))
    assert iou[:2].tolist() == [1, 1]
    assert math.isnan(iou[2])


def test_the_outline_decides_where_iou_hardly_sees_a_difference():
    """An outline one pixel off: of a region three pixels wide, its pixels on both sides differ."""
    truth, prediction = (np.zeros((100, 100), np.uint8) for _ in range(2))
    truth[:, 50:], prediction[:, 51:] = 1, 1
    counts = boundary_counts(truth, prediction, 2, IGNORE)
    # Columns 50-52 of the truth and 51-53 of the prediction, 97-99 of both; rows 0-2 and 97-99.
    rows = 100 - 6
    assert counts[1, 1] == rows * (4 + 3) + 6 * 50
    assert counts[0, 1] == rows * (2 + 3) + 6 * 49


def test_only_ignored_pixels_count_nothing():
    truth = np.full((8, 8), IGNORE, np.uint8)
    assert not boundary_counts(truth, np.zeros_like(truth), 2, IGNORE).any()


@pytest.mark.parametrize(
    ("size", "distance"), [((1, 1), 1), ((300, 400), 10), ((360, 480), 12), ((3000, 4000), 100)]
)
def test_the_distance_is_two_percent_of_the_diagonal(size, distance):
    assert boundary_distance(size) == distance
