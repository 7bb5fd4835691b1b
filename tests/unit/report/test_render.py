"""How numbers and settings are written."""

import pytest

from segflow.report import render


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100.0 %"),
        (0.1234, "12.3 %"),
        (0.0012, "0.12 %"),
        (1e-7, "< 0.01 %"),
        (None, "\N{EN DASH}"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    assert render.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8125, "0.812"), (1.0, "1.000"), (0.99997, "0.999+"), (None, "\N{EN DASH}")],
)
def test_score_shows_one_only_for_one(value: float | None, text: str) -> None:
    assert render.score(value) == text


def test_count_groups_thousands() -> None:
    assert render.count(1234567) == "1,234,567"


def test_flatten_keeps_order_and_joins_names() -> None:
    config = {"b": 1, "a": {"d": None, "c": {"e": [1, 2]}}}
    assert render.flatten(config) == [("b", "1"), ("a.d", "\N{EN DASH}"), ("a.c.e", "[1, 2]")]
