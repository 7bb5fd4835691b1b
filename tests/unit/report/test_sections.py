"""Shared sections: confusion, rejects, histograms."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.report import sections
from segflow.report.tables import Table


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
    rows = [{"key": f"k{i}", "code": "too_large", "message": f"m{i}"} for i in range(50)]
    rows.append({"key": "one", "code": "unreadable", "message": "broken"})
    (tmp_path / "rejects").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rejects/p.parquet")
    counts = {"unreadable": 1, "too_large": 50, "lossy_mask": 0}
    found = sections.rejects(tmp_path, [{"path": "rejects/p.parquet"}], counts)
    assert [(r.code, r.count, len(r.examples)) for r in found] == [
        ("too_large", 50, 5),
        ("unreadable", 1, 1),
    ]
    assert found[1].examples == [{"key": "one", "message": "broken"}]


def test_histogram_counts_every_value_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}
    monkeypatch.setattr(
        sections.plots, "histogram", lambda *args: drawn.update(args=args) or "plot"
    )
    pq.write_table(pa.table({"v": [0.55, 0.56, 1.0, None]}), tmp_path / "p.parquet")
    assert sections.histogram(Table(tmp_path, ["p.parquet"]), "v", 10, "score") == "plot"
    assert drawn["args"] == ("score", [2, 0, 0, 0, 1], 0.5, 1.0)


def test_histogram_of_nothing_is_left_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": pa.array([None], pa.float64())}), tmp_path / "p.parquet")
    assert sections.histogram(Table(tmp_path, ["p.parquet"]), "v", 10, "score") is None
