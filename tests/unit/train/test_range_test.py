"""What follows from losses at rising rates."""

import csv
import io
import math
import tracemalloc

import numpy as np
import pytest

from segflow.errors import UsageError
from segflow.train.range_test import RangeTest, rate_at
from segflow.train.rate_config import FindRateConfig


def valley(bottom: float, points: int = 100) -> RangeTest:
    """Losses that fall to `bottom` and rise steeply behind it."""
    rates = [rate_at(i, points, 1e-6, 1.0) for i in range(points)]
    losses = [0.5 + min(abs(math.log10(r / bottom)), 2.0) * (1 + 9 * (r > bottom)) for r in rates]
    return RangeTest(tuple(rates), tuple(losses))


def test_rates_rise_by_one_factor_from_end_to_end():
    rates = [rate_at(i, 50, 1e-5, 0.5) for i in range(50)]
    assert rates == pytest.approx(np.geomspace(1e-5, 0.5, 50).tolist(), rel=1e-9)


def test_smoothed_losses_are_means_around_each():
    losses = np.random.default_rng(0).normal(size=30)
    found = RangeTest((0.1,) * 30, tuple(losses)).smoothed
    for i in range(30):
        weights = [0.8 ** abs(i - j) for j in range(30)]
        assert found[i] == pytest.approx(np.average(losses, weights=weights))


def test_smoothing_takes_memory_for_the_losses_alone():
    test = RangeTest((0.1,) * 3000, (1.0,) * 3000)
    tracemalloc.start()
    assert not test.has_grown
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3000 * 1000  # bytes; a weight for each pair would take 72 million


def test_the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss():
    test = valley(1e-2)
    assert 3e-3 < test.rate_of_lowest < 1.5e-2
    assert test.suggested == pytest.approx(test.rate_of_lowest / 10)
    assert f"--learning-rate {test.suggested:.1e}" in test.advice()
    assert "still falling" not in test.advice()


def test_a_loss_that_never_stops_falling_asks_for_higher_rates():
    assert "try a higher --highest-rate" in valley(1.0).advice()


@pytest.mark.parametrize("test", [RangeTest(), RangeTest((1e-3, 1e-2, 0.1), (1.0, 2.0, 3.0))])
def test_a_loss_that_never_falls_gives_no_suggestion(test):
    assert test.suggested is None
    assert "try a lower --lowest-rate" in test.advice()


def test_it_has_grown_when_the_smoothed_loss_is_four_times_its_lowest():
    assert not RangeTest((0.1,) * 20, (*(1.0,) * 19, 10.0)).has_grown
    assert RangeTest((0.1,) * 20, (*(1.0,) * 19, 25.0)).has_grown


def test_the_table_has_every_batch():
    test = valley(1e-2)
    rows = list(csv.DictReader(io.StringIO(test.to_csv().decode())))
    assert [float(row["learning_rate"]) for row in rows] == list(test.rates)
    assert [float(row["loss"]) for row in rows] == list(test.losses)
    assert [float(row["smoothed_loss"]) for row in rows] == list(test.smoothed)


@pytest.mark.parametrize(
    "settings",
    [
        {"lowest_rate": 0.0},
        {"lowest_rate": 0.1, "highest_rate": 0.1},
        {"rate_steps": 9},
        {"rate_steps": 10_001},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UsageError, match="rate"):
        FindRateConfig("data", "out", **settings)
