"""What pages say of scores in words."""

import numpy as np

from segflow.report import scored
from segflow.scores.calibration import Reliability, calibration

NAMES = ["sky", "road", "car", "bird"]


def test_mix_ups_are_told_by_their_share_of_the_true_class() -> None:
    matrix = [[9000, 900, 100, 0], [30, 70, 0, 0], [0, 1, 99, 0], [5, 0, 0, 0]]
    assert scored.mix_ups(matrix, NAMES) == [
        "road taken for sky: 30.0 % of its pixels",
        "sky taken for road: 9.0 % of its pixels",
        "sky taken for car: 1.0 % of its pixels",
        "car taken for road: 1.0 % of its pixels",
    ]  # of the bird, five pixels in ten thousand, nothing is said


def test_no_more_than_five_are_told_and_none_of_a_perfect_model() -> None:
    assert len(scored.mix_ups(np.full((4, 4), 10), NAMES)) == 5
    assert scored.mix_ups(np.eye(4) * 100, NAMES) == []
    assert scored.mix_ups(np.zeros((4, 4)), NAMES) == []


def _said(confidence: float, right: int) -> str:
    bins = Reliability.count(np.full(100, confidence), np.arange(100) < right)
    found = scored.of_evaluation(bins.to_dict())
    assert found is not None
    return found.words


def test_the_verdict_compares_sureness_with_hits() -> None:
    assert _said(0.9, 70).endswith("is 90.0 % sure and 70.0 % right: it is overconfident.")
    assert _said(0.6, 70).endswith("it is underconfident.")
    assert _said(0.7, 70).endswith("it is on the whole as sure as it is right.")


def test_a_temperature_at_the_end_of_its_range_is_told() -> None:
    logits = np.eye(2, dtype=np.float32)[np.arange(20) % 2] * 3
    found = scored.of_bundle(calibration(logits, (np.arange(20) + 1) % 2))
    assert found is not None
    assert found.temperature == "20.000, the largest that is tried"


def test_without_a_pixel_nothing_is_said() -> None:
    assert scored.of_evaluation(Reliability.empty().to_dict()) is None
    assert scored.of_bundle(None) is None


def test_an_interval_reads_as_a_range() -> None:
    assert scored.interval([0.5, 0.61234]) == "0.500 to 0.612"
    assert scored.interval(None) == ""
