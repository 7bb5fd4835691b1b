"""The same random numbers in every run, whatever ran before."""

import sys

import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Models that a test builds without a seed of its own have the same weights each time."""
    if "keras" in sys.modules:  # tests without Keras need not wait for it
        sys.modules["keras"].utils.set_random_seed(0)
