"""Shared sections: confusion, rejects, histograms."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.report import sections, tables
from segflow.report.tables import Tables


def test_confusion_is_normalised_by_row_and_lists_mix_ups_largest_first() -> None:
    shown = sections.confusion([[90, 10, 0], [30, 10, 0], [0, 0, 0]], ["a", "b", "c"])
    assert [cell.share for cell in shown.rows[0]] == [0.9, 0.1, 0.0]
    assert [cell.share for cell in shown.rows[2]] == [None, None, None]
    assert shown.largest == [("b", "a", 30, 0.75), ("a", "b", 10, 0.1)]
    assert shown.rows[0][0].hot and not shown.rows[1][0].hot


def test_large_confusion_keeps_the_classes_with_most_pixels() -> None:
    matrix = np.diag(np.arange(100))
    shown = sections.confusion(matrix.tolist(), [str(i) for i in range(100)])
    assert shown.names == [str(i) for i in range(60, 100)]
    assert shown.omitted == 60


def test_rejects_come_by_code_with_a_few_examples_each(tmp_path: Path) -> None:
    rows = [
        {
            "key": "k",
            "image_uri": f"/{i}",
            "mask_uri": None,
            "code": "too_large",
            "message": f"m{i}",
        }
        for i in range(50)
    ]
    rows += [
        {
            "key": "k",
            "image_uri": None,
            "mask_uri": "/one",
            "code": "unreadable",
            "message": "broken",
        }
    ]
    counts = {"unreadable": 1, "too_large": 50, "lossy_mask": 0}
    with _opened(tmp_path, rows) as opened:
        found = sections.rejects(opened, counts)
    assert [(r.code, r.count, len(r.examples)) for r in found] == [
        ("too_large", 50, 5),
        ("unreadable", 1, 1),
    ]
    assert found[1].examples == [{"uri": "/one", "message": "broken"}]


def test_histogram_counts_every_value_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(sections.plots, "histogram", lambda *args: drawn.append(args))
    with _opened(tmp_path, [{"v": v} for v in (0.55, 0.56, 1.0, None)]) as opened:
        sections.histogram(opened, "rejects", "v", 10, "score")
    assert drawn == [("score", [2, 0, 0, 0, 1], 0.5, 1.0)]


def test_histogram_of_nothing_is_left_out(tmp_path: Path) -> None:
    with _opened(tmp_path, []) as opened:
        assert sections.histogram(opened, "rejects", "v", 10, "score") is None


def _opened(folder: Path, rows: list[dict[str, Any]]) -> AbstractContextManager[Tables]:
    """A folder whose one table, `rejects`, has these rows."""
    if not rows:
        return tables.opened(folder, [], {"rejects": "v DOUBLE"})
    (folder / "rejects").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "rejects/p.parquet")
    return tables.opened(folder, [{"path": "rejects/p.parquet"}], {"rejects": ""})
