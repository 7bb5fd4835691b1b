"""Splits: stable when data is added, groups whole, shares about as asked for."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data.splits import choose_split, group_of, parse_group_pattern
from segflow.errors import UsageError

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


@given(st.sets(st.text(min_size=1), max_size=40), st.sets(st.text(min_size=1)), st.integers())
def test_adding_data_moves_no_key_to_another_split(keys, added, seed):
    before = {key: choose_split(SHARES, seed, key) for key in keys}
    after = {key: choose_split(SHARES, seed, key) for key in keys | added}

    assert all(after[key] == split for key, split in before.items())


def test_another_seed_splits_otherwise():
    splits = [[choose_split(SHARES, seed, str(i)) for i in range(100)] for seed in (0, 0, 1)]

    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("seed", [0, 1])
def test_shares_are_about_as_asked_for(seed):
    counts = Counter(choose_split(SHARES, seed, f"street/{i:05d}") for i in range(4000))

    assert {name: round(n / 4000, 1) for name, n in counts.items()} == SHARES


def test_a_share_of_nothing_gets_nothing():
    shares = {"train": 0.0, "val": 1.0}

    assert {choose_split(shares, 0, str(i)) for i in range(200)} == {"val"}


def test_shares_that_add_up_to_one_but_for_rounding_leave_no_gap():
    assert choose_split({"train": 0.0, "val": 1e-18}, 0, "a") == "val"


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 9999))
def test_a_group_is_what_the_parentheses_match(name, frame):
    group = name.replace("_", "-")

    assert group_of(re.compile(r"^([^_]+)_\d+$"), f"{group}_{frame}") == group


def test_of_several_parentheses_the_first_that_takes_part_counts():
    pattern = parse_group_pattern(r"^(\w+)_\d+$|(.+)")

    assert [group_of(pattern, key) for key in ("seq_1", "seq_2", "alone!")] == [
        "seq",
        "seq",
        "alone!",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [("(", "no regular expression"), (r"\w+_", "expected parentheses around the part that counts")],
)
def test_a_pattern_that_names_no_group_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_group_pattern(text)
