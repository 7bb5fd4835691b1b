"""The classes of the labels' page: adjusted areas, spread, change, speed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segflow.references.adjustment import adjusted_for_labels
from segflow.report import draw, label_classes
from segflow.report.render import amount, percent
from segflow.report.sections import swatches
from tests.references import MODEL, write_reference
from tests.unit.report import folders
from tests.unit.report.test_draw import Page

_RUN = {
    "run": "r",
    "started": "2026-01-01T23:59:58Z",
    "finished": "2026-01-02T00:00:02Z",
    "inputs": {"accepted": 10},
    "pixels": 100,
}


def _pixels(seeds: Any) -> list[int]:
    """Of each class, in the masks that `folders` draws for its labels."""
    masks = [folders.predicted(folders.scene(seed)[1], 0) for seed in seeds]
    return [sum(int((mask == i).sum()) for mask in masks) for i in range(4)]


def _span(ends: list[float] | None, show: Callable[[float], str]) -> str:
    return percent(None) if ends is None else f"{show(ends[0])} to {show(ends[1])}"


def test_the_page_shows_each_area_with_its_interval(tmp_path: Path) -> None:
    folder = folders.write_labels(tmp_path / "l", tmp_path / "batch")
    pixels = _pixels(range(8))
    classes = [
        {"id": i, "name": name, "pixels": n, "area": n * 0.25}
        for i, (name, n) in enumerate(zip(folders.LABEL_MAP.names, pixels, strict=True))
    ]
    model = tmp_path / "model"
    images = {"pixels": 8, "area": 8}  # all are of one size
    expected = adjusted_for_labels(model, MODEL, {"tta": "none"}, classes, images)["classes"]

    section = Page(draw(folder)).text.partition("Classes")[2].partition("How much of")[0]

    for row, count in zip(expected, pixels, strict=True):
        share, error = row["adjusted_pixels"], row["pixels_standard_error"]
        told = percent(None if error is None else error / sum(pixels))
        ends = _span(row["pixels_interval"], lambda end: percent(end / sum(pixels)))
        assert f"{percent(share / sum(pixels))} {ends} {told}" in section
        ends = _span(row["area_interval"], amount)
        assert f"{amount(count / 4 or None)} {amount(share / 4)} {ends}" in section
    assert [row["pixels_interval"] is None for row in expected] == [False, False, False, True]
    assert "the reference has 12 images only" in section
    assert f"12 images of /data/{folders.HOSTILE}, split test, at the stored size" in section


def test_the_page_takes_up_what_was_evaluated_since(tmp_path: Path) -> None:
    folders.write_run(tmp_path / "l", "r1", tmp_path / "batch", range(4))
    page = Page(draw(tmp_path / "l"))
    assert f"Not known: the model {tmp_path / 'model'} is not there any more." in page.text
    assert "95 % interval" not in page.text
    write_reference(tmp_path / "model", np.stack([np.full((4, 4), 5)] * 30))
    page = Page(draw(tmp_path / "l"))
    assert "30 images of /photos, at their own size" in page.text
    assert "95 % interval" in page.text


def test_the_page_says_what_came_and_how_fast(tmp_path: Path) -> None:
    folder, sources = tmp_path / "l", tmp_path / "batch"
    folders.write_run(folder, "r1", sources, [0, 1, 2])
    folders.write_run(folder, "r2", sources, [3, 4])
    text = Page(draw(folder)).text
    assert "Images a second 0.25 newest run" in text
    section = text.partition("Change since the last run")[2].partition("Certainty")[0]
    before, after, now = (np.array(_pixels(s)) for s in ([0, 1, 2], [3, 4], range(5)))
    shares = [n / n.sum() for n in (before, after, now)]
    for old, new, all_now in list(zip(*shares, strict=True))[:3]:
        points = f"{100 * (new - old):+.1f}"
        assert f"{percent(old)} {percent(new)} {points} {percent(all_now)}" in section


def _run(*shares: float, **more: Any) -> dict[str, Any]:
    classes = [{"name": n, "fraction": s} for n, s in zip("abc", shares, strict=False)]
    return {**_RUN, "classes": classes, **more}


def _rows(*shares: float) -> list[dict[str, Any]]:
    found = swatches(folders.LABEL_MAP)
    return [
        {"name": n, "share": s, "swatch": w} for n, s, w in zip("abc", shares, found, strict=False)
    ]


def test_change_is_of_the_newest_two_runs_that_labelled_and_largest_first() -> None:
    runs = [_run(0, 0, 0, pixels=0), _run(0.5, 0.2, 0.3), _run(0.4, 0.6, 0), _run(1, 0, 0)]
    change = label_classes.change(runs, _rows(0.5, 0.5, 0))
    assert change is not None
    assert (change.after, change.before) == (runs[1], runs[2])
    assert [row[1:] for row in change.rows] == [(0.6, 0.2, 0.5), (0, 0.3, 0), (0.4, 0.5, 0.5)]


def test_a_class_that_is_nowhere_has_not_changed() -> None:
    change = label_classes.change([_run(1, 0), _run(1, 0)], _rows(1, 0))
    assert change is not None
    assert [row[1:] for row in change.rows] == [(1, 1, 1)]


@pytest.mark.parametrize(
    "runs",
    [
        [_run(1, 0)],
        [_run(1, 0), _run(1, 0, pixels=0)],
        [_run(1, 0), _run(0.5, 0.25, 0.25)],
        [_run(1, 0, 0), _run(1, 0, 0)],
    ],
)
def test_without_two_runs_of_the_same_classes_there_is_no_change(runs: list[Any]) -> None:
    assert label_classes.change(runs, _rows(1, 0)) is None


def test_throughput_is_from_the_start_to_the_commit() -> None:
    assert label_classes.throughput(_RUN) == 2.5
    assert label_classes.throughput({**_RUN, "finished": _RUN["started"]}) is None
    assert label_classes.throughput({**_RUN, "inputs": {"accepted": 0}}) is None
    assert label_classes.throughput({"started": _RUN["started"], "inputs": {}}) is None


def test_tenths_count_the_images_in_which_a_class_takes_so_much(tmp_path: Path) -> None:
    folder = folders.write_labels(tmp_path / "l", tmp_path / "batch")
    masks = [folders.predicted(folders.scene(seed)[1], 0) for seed in range(8)]
    section = Page(draw(folder)).text.partition("How much of an image")[2]
    section = section.partition("Change")[0]
    for i, name in enumerate(folders.LABEL_MAP.names[:3]):
        shares = [float((mask == i).mean()) for mask in masks if (mask == i).any()]
        counts = np.histogram(shares, 10, (0, 1))[0]
        row = " ".join(f"{100 * n / len(shares):.0f}" for n in counts)
        assert f"{name} {row}" in section
