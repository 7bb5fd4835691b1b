"""Sums over the parts of an image, against NumPy and SciPy on the whole of it."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from segflow.label.prediction import ConfidenceSums, Prediction

_SIZES = st.tuples(st.integers(1, 150), st.integers(1, 150))
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def _probabilities(size: tuple[int, int], classes: int = 3) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(classes, 0.4), size)


def _statistics(probabilities: np.ndarray) -> Parts:
    """Best class, its probability, and the entropy in nats, as a model's graph gives them."""
    entropy = stats.entropy(probabilities, axis=-1)
    best, confidence = probabilities.argmax(-1), probabilities.max(-1)
    return best, confidence.astype(np.float32), entropy.astype(np.float32)


def _added(parts: Parts, cuts: list[int], **options: Any) -> Prediction:
    """What comes of adding the rows between cuts one after another."""
    size = parts[0].shape
    sums = ConfidenceSums(options.pop("classes", 3), size, **options)
    for rows in itertools.starmap(slice, itertools.pairwise([0, *sorted(cuts), size[0]])):
        sums.add(*(part[rows] for part in parts))
    return sums.prediction(np.zeros(size, np.uint8))


@given(_SIZES, st.lists(st.integers(0, 150), max_size=5))
def test_bands_add_up_to_the_whole(size, cuts):
    parts = _statistics(_probabilities(size))

    at_once = _added(parts, [])
    in_bands = _added(parts, [min(cut, size[0]) for cut in cuts])

    assert in_bands.confidence == pytest.approx(at_once.confidence, abs=1e-12)
    assert in_bands.entropy == pytest.approx(at_once.entropy, abs=1e-12)
    assert in_bands.uncertain_fraction == at_once.uncertain_fraction
    assert np.allclose(
        in_bands.class_confidence, at_once.class_confidence, 0, 1e-12, equal_nan=True
    )
    steps = in_bands.uncertainty.astype(int) - at_once.uncertainty
    assert np.abs(steps).max() <= 17  # a mean that lies between two steps may fall to either


@given(_SIZES, st.sampled_from([2, 5]))
def test_means_are_those_of_all_pixels(size, classes):
    probabilities = _probabilities(size, classes)

    found = _added(_statistics(probabilities), [], classes=classes)

    entropy = stats.entropy(probabilities, axis=-1, base=classes).mean()
    assert found.entropy == pytest.approx(entropy, abs=1e-6)
    assert found.confidence == pytest.approx(probabilities.max(-1).mean(), abs=1e-6)


def test_pixels_below_the_limit_are_uncertain():
    confidence = np.array([[0.5, 0.6, 0.75], [0.75, 0.9, 1]], np.float32)
    parts = np.zeros((2, 3), int), confidence, np.zeros((2, 3), np.float32)

    assert _added(parts, []).uncertain_fraction == 2 / 6
    assert _added(parts, [], uncertain_below=0.6).uncertain_fraction == 1 / 6
    assert _added(parts, [], uncertain_below=0).uncertain_fraction == 0


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_entropies_go_from_0_to_1(classes):
    size = (5, 4)
    sure = _statistics(np.eye(classes)[np.zeros(size, int)])
    unsure = _statistics(np.full((*size, classes), 1 / classes))

    least, most = (_added(parts, [], classes=classes) for parts in (sure, unsure))

    assert (least.entropy, least.uncertainty.max()) == (0, 0)
    assert most.entropy == pytest.approx(int(classes > 1), abs=1e-6)
    assert most.entropy <= 1
    assert (most.uncertainty == 255 * (classes > 1)).all()


@pytest.mark.parametrize(
    ("size", "cells"),
    [((64, 20), (64, 20)), ((96, 128), (48, 64)), ((130, 300), (28, 64)), ((1, 500), (1, 64))],
)
def test_the_map_holds_the_means_of_cells(size, cells):
    probabilities = _probabilities(size)
    entropy = stats.entropy(probabilities, axis=-1, base=3)

    found = _added(_statistics(probabilities), [size[0] // 3]).uncertainty

    assert found.shape == cells
    for row, column in np.ndindex(cells):
        rows, columns = (
            slice(i * side // n, (i + 1) * side // n)
            for i, side, n in zip((row, column), size, cells, strict=True)
        )
        assert found[row, column] / 255 == pytest.approx(
            entropy[rows, columns].mean(), abs=0.5 / 15 + 1e-6
        )
    assert set(np.unique(found)) <= set(range(0, 256, 17))
