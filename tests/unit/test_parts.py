"""Part files: rows by their place, and names that no SQL takes for anything else."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow import parts
from segflow.errors import JobError


@pytest.fixture
def part(tmp_path):
    path = tmp_path / "date=2026" / "it's [1]*.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"n": range(300), "text": ["x"] * 300}), path, row_group_size=130)
    return path


@pytest.mark.parametrize("places", [[], [0], [299, 64, 129, 130, 131], range(300)])
def test_rows_come_by_place_and_in_order(part, places):
    found = list(parts.rows_at(part, places, ("n", "lacks")))
    assert found == [(place, {"n": place}) for place in sorted(places)]


def test_row_groups_without_a_wanted_row_are_not_read(part, monkeypatch):
    read = []
    iter_batches = pq.ParquetFile.iter_batches

    def noted(file, *args, row_groups, **options):
        read.extend(row_groups)
        return iter_batches(file, *args, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert len(list(parts.rows_at(part, [5, 270], ("n",)))) == 2
    assert read == [0, 2]


def test_a_damaged_file_is_named(part):
    part.write_bytes(b"PAR1 broken")
    with pytest.raises(JobError, match=r"damaged: .*; try segflow verify"):
        list(parts.rows_at(part, [0], ("n",)))


def test_a_scan_reads_its_files_and_no_column_out_of_folders(part):
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * FROM {parts.scan([part, part])}")
        assert [column[0] for column in found.description] == ["n", "text", "filename"]
        rows = found.fetchall()
    assert len(rows) == 600
    assert {row[2] for row in rows} == {str(part)}


def test_a_slow_query_leaves_stdout_alone(tmp_path, capfd):
    with parts.connect("512MB", tmp_path) as connection:
        connection.execute("SET progress_bar_time = 0")
        connection.execute(
            "SELECT sum(a.range * b.range) FROM range(30000) AS a, range(3000) AS b"
        ).fetchall()

    assert capfd.readouterr().out == ""
