"""Tables: only what is listed, whatever the folder is called."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segflow.report import tables

_COLUMNS = {"images": "v BIGINT"}


def _write(folder: Path, path: str, values: list[int]) -> dict[str, str]:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"v": values}), folder / path)
    return {"path": path}


def test_reads_the_listed_parts_alone(tmp_path: Path) -> None:
    listed = [_write(tmp_path, f"images/run={n}/p.parquet", [n]) for n in (1, 2)]
    _write(tmp_path, "images/run=3/p.parquet", [3])
    other = _write(tmp_path, "imagesx/p.parquet", [4])
    with tables.opened(tmp_path, [*listed, other], _COLUMNS) as opened:
        assert opened.rows("SELECT v FROM images ORDER BY v") == [{"v": 1}, {"v": 2}]


def test_names_that_look_like_patterns_partitions_or_sql_are_names(tmp_path: Path) -> None:
    folder = tmp_path / "v=7" / "a[1]*?'; drop --"
    listed = [_write(folder, "images/p.parquet", [1])]
    _write(tmp_path / "v=7" / "a1xy'; drop --", "images/p.parquet", [2])
    with tables.opened(folder, listed, _COLUMNS) as opened:
        assert opened.rows("SELECT v FROM images") == [{"v": 1}]


def test_a_table_without_parts_is_empty(tmp_path: Path) -> None:
    with tables.opened(tmp_path, [], _COLUMNS) as opened:
        assert opened.rows("SELECT v, filename FROM images") == []


def test_parameters_are_bound(tmp_path: Path) -> None:
    listed = [_write(tmp_path, "images/p.parquet", [1, 2, 3])]
    with tables.opened(tmp_path, listed, _COLUMNS) as opened:
        found = opened.rows("SELECT v FROM images WHERE list_contains($some, v)", some=[3])
    assert found == [{"v": 3}]
