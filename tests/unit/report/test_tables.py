"""Tables: only what is listed, whatever the folder is called."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segflow.report.tables import Table, listed


def _write(path: Path, values: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"run": values}), path)


def test_reads_the_listed_parts_alone(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2), ("stray", 3)):
        _write(tmp_path / f"images/run=9/{name}.parquet", [value])
    table = Table(tmp_path, ["images/run=9/a.parquet", "images/run=9/b.parquet"])
    assert table.rows("SELECT run FROM parts ORDER BY run DESC") == [{"run": 2}, {"run": 1}]


def test_names_that_look_like_patterns_or_sql_are_names(tmp_path: Path) -> None:
    folder = tmp_path / "a[1]*?'; drop --"
    _write(folder / "p.parquet", [1])
    _write(tmp_path / "a1xy'; drop --" / "p.parquet", [2])
    assert Table(folder, ["p.parquet"]).rows("SELECT run FROM parts") == [{"run": 1}]


def test_without_parts_there_are_no_rows(tmp_path: Path) -> None:
    assert Table(tmp_path, []).rows("SELECT nothing FROM parts") == []


def test_parameters_are_bound(tmp_path: Path) -> None:
    _write(tmp_path / "p.parquet", [1, 2, 3])
    table = Table(tmp_path, ["p.parquet"])
    found = table.rows("SELECT run FROM parts WHERE list_contains($runs, run)", runs=[3])
    assert found == [{"run": 3}]


def test_listed_goes_by_the_first_part_of_the_path() -> None:
    paths = ["images/run=1/a.parquet", "imagesx/b.parquet", "rejects/c.parquet"]
    files = [{"path": path} for path in paths]
    assert listed(files, "images") == ["images/run=1/a.parquet"]
