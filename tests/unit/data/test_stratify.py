"""Stratified splits: every unit placed once, shares near what is asked for, order decides alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data.stratify import rarity, stratify

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def _units(count: int, classes: int = 4, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    """One image each, with shares of classes from common to rare."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(3.0 / 4.0 ** np.arange(classes), count)
    return [(str(i), np.array([1.0, *row])) for i, row in enumerate(shares)]


def _stratify(units: list[tuple[str, np.ndarray]]) -> dict[str, str]:
    totals = np.sum([amounts for _, amounts in units], axis=0)
    ordered = sorted(units, key=lambda unit: (-rarity(unit[1], totals), unit[0]))
    return dict(stratify(ordered, totals, SHARES))


def _held(units: list[tuple[str, np.ndarray]], splits: dict[str, str], name: str) -> np.ndarray:
    total = np.sum([amounts for _, amounts in units], axis=0)
    return sum(amounts for unit, amounts in units if splits[unit] == name) / total


@pytest.mark.parametrize("seed", range(4))
def test_every_split_holds_its_share_of_images_and_of_every_class(seed):
    units = _units(400, seed=seed)

    splits = _stratify(units)

    assert splits.keys() == dict(units).keys()
    for name, share in SHARES.items():
        np.testing.assert_allclose(_held(units, splits, name), share, atol=0.02)


def test_it_is_nearer_than_chance():
    units = _units(200)
    rng = np.random.default_rng(1)
    chance = {unit: rng.choice(list(SHARES), p=list(SHARES.values())) for unit, _ in units}

    def error(splits):
        return max(abs(_held(units, splits, n) - share).max() for n, share in SHARES.items())

    assert error(_stratify(units)) < 0.05 < error(chance)


def test_a_rare_class_comes_to_all_splits_before_the_common_ones_are_placed():
    common = [(f"c{i}", np.array([1.0, 1.0, 0.0])) for i in range(90)]
    rare = [(f"r{i}", np.array([1.0, 0.5, 0.5])) for i in range(10)]

    splits = _stratify(common + rare)

    assert sorted(splits[unit] for unit, _ in rare) == ["test"] + ["train"] * 8 + ["val"]


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_share_of_nothing_gets_nothing_and_equal_input_equal_splits(count, seed):
    units = _units(count, seed=seed)
    totals = np.sum([amounts for _, amounts in units], axis=0)
    shares = {"train": 0.6, "val": 0.4, "test": 0.0}

    first = list(stratify(units, totals, shares))

    assert first == list(stratify(units, totals, shares))
    assert [unit for unit, _ in first] == [unit for unit, _ in units]
    assert {split for _, split in first} <= {"train", "val"}


def test_what_is_nowhere_asks_for_nothing():
    units = [(str(i), np.array([1.0, 0.0])) for i in range(10)]

    splits = _stratify(units)

    assert sorted(splits.values()) == ["test"] + ["train"] * 8 + ["val"]
