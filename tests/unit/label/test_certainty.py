"""Totals of certainty: the same for any number of shards, in any order."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.jobs.output import merge_sums
from segflow.label import certainty
from tests.unit.label.batches import draw

_share = st.floats(0, 1)
_row = st.fixed_dictionaries(
    {
        **dict.fromkeys(certainty.MEANS, _share),
        **dict.fromkeys(("height", "width"), st.integers(1, 50_000)),
    }
)


@given(st.lists(_row, min_size=1, max_size=12), st.integers(1, 5), st.randoms())
def test_means_are_weighted_by_pixels_whatever_the_shards(rows, shards, chance: random.Random):
    pixels = sum(row["height"] * row["width"] for row in rows)
    whole = certainty.image_sums(rows)
    parts = [certainty.image_sums(rows[i::shards]) for i in range(shards)]
    chance.shuffle(parts)
    merged: dict[str, int] = {}
    for part in parts:
        merge_sums(merged, part)

    assert merged == whole
    for name, mean in certainty.means(merged, pixels).items():
        exact = sum(Fraction(row[name]) * row["height"] * row["width"] for row in rows) / pixels
        assert math.isclose(mean, exact, rel_tol=0, abs_tol=1e-6)
        assert 0 <= mean <= 1


def test_without_an_image_there_is_no_mean():
    assert set(certainty.means({}, 0).values()) == {None}


def test_a_run_records_the_means_of_its_images(labels):
    draw(labels.images / "a.png", green=255, size=(1, 4))
    draw(labels.images / "b.png", green=51, size=(4, 4))
    (labels.images / "broken.png").write_text("no picture")

    assert labels.label()["certainty"] == {
        "mean_confidence": 0.625,
        "mean_entropy": pytest.approx((4 + 16 * 0.2) / 20),
        "uncertain_fraction": pytest.approx(4 / 20),
    }


def test_a_run_without_images_records_none(labels):
    (labels.images / "broken.png").write_text("no picture")

    assert set(labels.label()["certainty"].values()) == {None}
