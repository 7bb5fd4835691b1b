"""What programs print at their end."""

import pytest

from pipelines import tables

_CLASS = {"iou": 0.61234, "dice": 0.7, "precision": 0.5, "recall": 0.25, "pixels": 123_456_789}
_ABSENT = dict.fromkeys(("iou", "dice", "precision", "recall", "boundary_iou", "iou_interval"))
_METRICS = {
    "per_class": {
        "house": {**_CLASS, "boundary_iou": 0.375, "iou_interval": [0.5, 0.71289]},
        "a class of quite a long name": {**_ABSENT, "pixels": 0},
    },
    "mean_iou": 0.61234,
    "pixel_accuracy": 0.9,
    "examples": 29,
    "mean_boundary_iou": 0.375,
    "intervals": {"mean_iou": [0.5, 0.71289], "pixel_accuracy": None},
}


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Prints scores in 80 columns; their lines, single-spaced."""
    monkeypatch.setenv("COLUMNS", "80")

    def print_lines(metrics: dict) -> list[str]:
        tables.print_scores("evaluation e", metrics)
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 80
        return [" ".join(line.split()) for line in out.splitlines()]

    return print_lines


def test_scores_stand_beside_their_intervals_in_80_columns(lines):
    title, head, _, *rows = lines(_METRICS)

    assert title == "evaluation e"
    assert head == "class iou 95 % interval boundary precision recall pixels"
    assert rows == [
        "house 0.612 0.500 to 0.713 0.375 0.500 0.250 123,456,789",
        "a class of quite a - - - - - 0",
        "long name",
        "mean IoU: 0.61234",
        "mean IoU, 95 % interval: 0.500 to 0.713 (of 29 images only: too few to rely on)",
        "pixel accuracy: 0.9",
        "mean boundary IoU: 0.375",
        "for comparison, 'house' everywhere: mean IoU 1.0000, pixel accuracy 1.0000",
    ]


def test_a_bundle_of_before_has_a_table_too(lines):
    scores = {"mean_iou": 0.5, "pixel_accuracy": 0.9, "examples": 30}
    metrics = {"per_class": {"house": _CLASS}, **scores}

    assert lines(metrics)[3:] == [
        "house 0.612 - - 0.500 0.250 123,456,789",
        "mean IoU: 0.5",
        "pixel accuracy: 0.9",
        "for comparison, 'house' everywhere: mean IoU 1.0000, pixel accuracy 1.0000",
    ]


def test_the_least_to_beat_is_the_commonest_class(lines):
    classes = {"a": {**_CLASS, "pixels": 30}, "b": {**_CLASS, "pixels": 70}}
    metrics = {"per_class": {**classes, "c": {**_ABSENT, "pixels": 0}}}
    scores = {"mean_iou": 0.5, "pixel_accuracy": 0.9, "examples": 30}
    assert lines({**metrics, **scores})[-1] == (
        "for comparison, 'b' everywhere: mean IoU 0.3500, pixel accuracy 0.7000"
    )
