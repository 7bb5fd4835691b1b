import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow import hashing


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert hashing.canonical_json({"b": [1, 2.5], "a": None}) == b'{"a":null,"b":[1,2.5]}'
    assert hashing.fingerprint({"b": 1, "a": 2}) == hashing.fingerprint({"a": 2, "b": 1})


def test_canonical_json_is_utf8_and_keeps_letters():
    assert hashing.canonical_json("é") == '"é"'.encode()


def test_a_fingerprint_changes_with_any_value():
    base = {"seed": 1, "splits": {"train": 0.8}}
    others = [{"seed": 2, "splits": {"train": 0.8}}, {"seed": 1, "splits": {"train": 0.81}}, {}]

    assert len({hashing.fingerprint(value) for value in [base, *others]}) == 4
    assert hashing.fingerprint(base) == hashlib.sha256(hashing.canonical_json(base)).hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_has_no_fingerprint(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        hashing.fingerprint({"value": value})


def test_sha256_of_a_file(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)

    assert hashing.sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    assert hashing.sha256_file(str(tmp_path / "file")) == hashlib.sha256(data).hexdigest()


def test_seeds_are_pinned():
    """Splits and augmentations of existing data sets rest on these numbers."""
    assert hashing.stable_seed(0, "images/a") == 0x58734B9F88297351
    assert hashing.unit_interval(0, "images/a") == 0.3455092682344565


def test_seeds_are_the_same_in_another_process():
    code = "from segflow.hashing import stable_seed; print(stable_seed(7, 'é', 'x'))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    assert int(output) == hashing.stable_seed(7, "é", "x")


def test_the_limits_between_parts_count():
    assert hashing.stable_seed("ab", "c") != hashing.stable_seed("a", "bc")
    assert hashing.stable_seed("a") != hashing.stable_seed("a", "")


@given(st.lists(st.text() | st.integers(), min_size=1))
def test_ranges(parts):
    assert 0 <= hashing.stable_seed(*parts) < 2**64
    assert 0 <= hashing.unit_interval(*parts) < 1


def test_the_unit_interval_is_filled_evenly():
    """Splits by ratio come out as asked for: 5,000 draws in ten bins, five sigma."""
    bins = [0] * 10
    for index in range(5000):
        bins[int(10 * hashing.unit_interval(3, f"key-{index}"))] += 1

    assert all(abs(count - 500) < 5 * (500 * 0.9) ** 0.5 for count in bins)
