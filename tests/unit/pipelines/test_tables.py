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


def _record(**adjusted: object) -> dict:
    names = {"sky": (123_456_789_012, 1_234_567), "a class of quite a long name": (0, 0)}
    classes = [
        {"name": name, "pixels": pixels, "images": images, "fraction": pixels / 123_456_789_012}
        for name, (pixels, images) in names.items()
    ]
    found = {"classes": None, "reference": None, "reason": None, "warnings": [], **adjusted}
    return {"pixels": 123_456_789_012, "classes": classes, "adjusted_areas": found}


@pytest.fixture
def areas(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Prints a run's areas in 80 columns; the lines below their title, single-spaced."""
    monkeypatch.setenv("COLUMNS", "80")

    def print_lines(record: dict) -> list[str]:
        tables.print_areas("run r", record)
        title, *lines = capsys.readouterr().out.splitlines()
        assert title == "run r"
        assert max(map(len, lines[:4])) <= 80
        return [" ".join(line.split()) for line in lines]

    return print_lines


def test_areas_stand_beside_the_adjusted_ones_in_80_columns(areas):
    whole = 123_456_789_012
    rows = [
        {"adjusted_pixels": 0.9 * whole, "pixels_interval": [0.85 * whole, 0.95 * whole]},
        {"adjusted_pixels": 0.1 * whole, "pixels_interval": None},
    ]
    reference = {"images": 1200, "data": {"dataset": "/data", "split": "test"}}

    head, _, *lines = areas(_record(classes=rows, reference=reference, warnings=["far from it"]))

    assert head == "class pixels share adjusted 95 % interval images"
    assert lines[0] == "sky 123,456,789,012 100.00% 90.00% 85.00% to 95.00% 1,234,567"
    assert lines[1].startswith("a class of") and lines[1].endswith(" 0 0.00% 10.00% - 0")
    assert lines[-2:] == [
        "adjusted for the model's errors in 1,200 images of /data, split test",
        "warning: far from it",
    ]


def test_where_areas_are_not_adjusted_it_says_why(areas):
    head, _, *lines = areas(_record(reason="there is no reference"))
    assert head == "class pixels share images"
    assert lines[-1] == "not adjusted for the model's errors: there is no reference"
