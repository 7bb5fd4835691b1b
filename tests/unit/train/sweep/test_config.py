"""What a sweep's file may say."""

import math

import pytest

from segflow.errors import UsageError
from segflow.train.sweep.config import Choices, Range, Sweep, check_keys, parse_parameter


@pytest.mark.parametrize(
    ("value", "parameter"),
    [
        (["ce", "dice"], Choices(("ce", "dice"))),
        ([[0.8, 1.25], [1, 1]], Choices(([0.8, 1.25], [1, 1]))),
        ({"low": 2, "high": 5}, Range(2, 5)),
        ({"low": "1e-4", "high": 0.1, "log": True}, Range(1e-4, 0.1, True)),
    ],
)
def test_lists_are_choices_and_mappings_ranges(value, parameter):
    assert parse_parameter("x", value) == parameter


@pytest.mark.parametrize(
    "value",
    [
        *("ce", [], ["ce", "ce"], [1, 1.0], None),
        *({"low": 1}, {"low": 1, "high": 2, "step": 1}, {"low": 2, "high": 2}),
        *({"low": 0, "high": 1, "log": True}, {"low": "a", "high": 1}, {"low": None, "high": 1}),
        *({"low": True, "high": 3}, {"low": 0, "high": math.inf}, {"low": 0, "high": 1, "log": 1}),
    ],
)
def test_what_is_neither_is_refused(value):
    with pytest.raises(UsageError, match="learning_rate"):
        parse_parameter("learning_rate", value)


def test_combinations_are_counted():
    choices = Choices(("a", "b", "c"))
    assert Sweep({"x": choices, "y": Range(2, 5)}, 1).combinations == 12
    assert Sweep({"x": choices, "y": Range(2.0, 5)}, 1).combinations == math.inf


@pytest.mark.parametrize(
    ("range_", "value", "rounded"),
    [
        (Range(1e-4, 1e-1, True), 0.00123456789, 0.0012346),
        (Range(0.99, 0.9999), 0.993456789, 0.993457),
        (Range(0.00012345678, 1.0), 0.00012345678, 0.00012345678),
    ],
)
def test_drawn_numbers_are_short_and_within_the_range(range_, value, rounded):
    assert range_.rounded(value) == pytest.approx(rounded, rel=1e-4)
    assert len(f"{range_.rounded(value)}") <= 12
    assert range_.low <= range_.rounded(value) <= range_.high


@pytest.mark.parametrize(
    "data",
    [
        {"parameters": {}, "trials": 3, "method": "grid"},
        {"trials": 3},
        {"parameters": {"loss": ["ce"]}},
        {"parameters": ["loss"], "trials": 3},
    ],
)
def test_the_file_has_its_keys_and_no_others(data):
    with pytest.raises(UsageError, match=r"--sweep: .*(method|parameters|trials)"):
        check_keys(data)


@pytest.mark.parametrize(
    ("trials", "seed"), [(0, 0), (True, 0), (2.5, 0), ("ten", 0), (3, -1), (3, 0.5)]
)
def test_numbers_of_the_search_are_checked(trials, seed):
    with pytest.raises(UsageError, match=r"--sweep: (trials|seed) must be"):
        Sweep({"loss": Choices(("ce",))}, trials, seed)
