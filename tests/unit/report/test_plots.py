"""Plots: inline SVG in the page's colours, with no ids that clash, and text as it is."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from segflow.report import plots
from segflow.scores.calibration import Reliability

_SVG = "{http://www.w3.org/2000/svg}"


def _parse(markup: str) -> ElementTree.Element:
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return ElementTree.fromstring(str(markup).replace("<svg", f"<svg {spaces}", 1))


def _texts(markup: str) -> list[str]:
    return [text.text or "" for text in _parse(markup).iter(f"{_SVG}text")]


def test_curves_name_their_lines_and_mark_the_best_epoch() -> None:
    lines = [plots.Curve("training", [3.0, 2.0]), plots.Curve("validation", [3.5, None])]
    texts = _texts(plots.curves("Loss by epoch", [1, 2], lines, best_epoch=2))
    assert {"training", "validation", "best: 2", "epoch"} <= set(texts)


def test_a_line_whose_name_begins_with_an_underscore_is_named_too() -> None:
    lines = [plots.Curve("_unet", [3.0, 2.0]), plots.Curve("fpn", [3.5, 1.0])]
    assert {"_unet", "fpn"} <= set(_texts(plots.curves("Loss", [1, 2], lines, None)))
    bins = Reliability.count(np.array([0.5, 0.95]), np.array([True, False]))
    assert "_unet" in _texts(plots.reliability("Reliability", [("_unet", bins)]))


def test_text_is_escaped_and_no_formula() -> None:
    name = "$a_1$ <script> & 'b'"
    svg = plots.curves(f'"{name}"', [1], [plots.Curve(name, [1.0])], None)
    assert name in _texts(svg)
    assert _parse(svg).get("aria-label") == f'"{name}"'


@pytest.mark.parametrize("high", [0.0004, 0.0012, 0.02, 3.0])
def test_a_logarithmic_axis_has_numbers_whatever_its_range(high: float) -> None:
    svg = plots.scores_by_number("rate", [0.0003, high], [0.5, 0.6], log=True)
    shown = [float(text) for text in _texts(svg) if re.fullmatch(r"[\d.e+-]+", text)]
    rates = [value for value in shown if 0.0003 <= value <= high]
    assert len([value for value in rates if value < 0.5]) >= 2


def test_colours_come_from_the_page() -> None:
    svg = plots.histogram("score", [1, 0, 5], 0.25, 1.0)
    assert "var(--first)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_ids_are_those_referred_to_and_differ_between_plots() -> None:
    curve = [plots.Curve("a", [1.0, 2.0])]
    first, second = (plots.curves(title, [1, 2], curve, 1) for title in ("one", "two"))
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    referred = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", first))
    assert ids[0] == referred
    assert not ids[0] & ids[1]


def test_equal_data_give_equal_plots() -> None:
    first, second = (plots.histogram("score", [1, 2], 0, 1) for _ in range(2))
    assert first == second


def test_a_reliability_diagram_names_its_lines_and_axes() -> None:
    bins = Reliability.count(np.array([0.5, 0.5, 0.95]), np.array([True, False, True]))
    svg = plots.reliability("Reliability", [("before", bins), ("after", bins)])
    texts = _texts(svg)
    assert {"before", "after", "confidence", "share of hits"} <= set(texts)
    assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_a_rate_test_marks_its_suggestion() -> None:
    rates = [1e-4, 1e-3, 1e-2, 0.1]
    texts = _texts(plots.rate_test(rates, [2.0, 1.8, 1.0, 3.0], [2.0, 1.9, 1.4, 2.5], 1e-3))
    assert {"batch", "smoothed", "suggested: 0.001", "learning rate", "1e-02"} <= set(texts)
    assert not any(
        text.startswith("suggested") for text in _texts(plots.rate_test([], [], [], None))
    )


def test_intervals_name_their_rows_and_cut_long_names() -> None:
    names = ["sky", "a class whose name is of quite some length"]
    svg = plots.intervals("Areas", names, [0.3, 0.7], [0.35, 0.65], [0.3, math.nan], [0.4, 0.7])
    texts = _texts(svg)
    assert {"sky", "a class whose name is of qu…", "as mapped", "0 %"} <= set(texts)
    assert not re.search(r"#[0-9a-f]{6}\b", svg)
