"""What DuckDB may hold while labels are chosen."""

import duckdb
import pytest

from segflow.label.selection import current_views


def test_memory_is_small_again_after_a_failure(tmp_path):
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '512MB'")
        limit = connection.execute("SELECT current_setting('memory_limit')").fetchall()
        with pytest.raises(duckdb.Error), current_views(connection, tmp_path / "nowhere"):
            raise AssertionError("there are no tables")
        assert connection.execute("SELECT current_setting('memory_limit')").fetchall() == limit
