"""Plans: cut into shards that can be read one by one, each a row group."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.jobs import plan as plans
from segflow.jobs.plan import PlanWriter, write_listing
from segflow.jobs.run import SHARDS_PER_PART, Shard, plan_part
from tests.unit.jobs.tally import SCHEMA, new_run, row


def _shards(folder) -> list[list[int]]:
    """The numbers of each row group, part file after part file."""
    shards = []
    for part in sorted((folder / "plan").iterdir()):
        with pq.ParquetFile(part) as file:
            groups = range(file.num_row_groups)
            shards += [file.read_row_group(i)["number"].to_pylist() for i in groups]
    return shards


def _write(folder, rows, chunk: int = 3, **arguments):
    reader = pa.Table.from_pylist(rows, schema=SCHEMA).to_reader(max_chunksize=chunk)
    return PlanWriter(folder, **arguments).write(reader)


def test_each_shard_is_a_row_group_and_no_group_shares_one(tmp_path):
    rows = [row(i, "train") for i in range(5)] + [row(i, "val") for i in range(5, 8)]

    summary = _write(tmp_path, rows, rows_per_shard={"train": 2, "val": 10}.get)

    assert _shards(tmp_path) == [[0, 1], [2, 3], [4], [5, 6, 7]]
    assert list(summary.groups.items()) == [("train", 3), ("val", 1)]
    assert summary.rows == 8


def test_heavy_rows_make_small_shards(tmp_path):
    weights = [6, 6, 1, 1, 99, 1]
    rows = [{**row(i), "weight": weight} for i, weight in enumerate(weights)]

    _write(tmp_path, rows, rows_per_shard=lambda _: 10, max_weight=10)

    assert _shards(tmp_path) == [[0], [1, 2, 3], [4], [5]]


def test_rows_of_several_examples_fill_a_shard_sooner(tmp_path):
    examples = [3, 3, 4, 5, 11, 1, 9]
    schema = SCHEMA.append(pa.field("examples", pa.int64()))
    rows = [{**row(i), "examples": count} for i, count in enumerate(examples)]
    batches = pa.Table.from_pylist(rows, schema=schema).to_batches()

    PlanWriter(tmp_path, lambda _: 10).write(batches)

    assert _shards(tmp_path) == [[0, 1, 2], [3], [4], [5, 6]]
    assert "examples" not in pq.read_schema(plan_part(tmp_path, 0)).names


def test_what_only_planning_needs_is_not_stored(tmp_path):
    _write(tmp_path, [row(1)], rows_per_shard=lambda _: 1)

    assert pq.read_schema(plan_part(tmp_path, 0)).names == SCHEMA.names[2:]


def test_no_rows_are_no_shards(tmp_path):
    summary = _write(tmp_path, [], rows_per_shard=lambda _: 1)

    assert (summary.groups, summary.rows) == ({}, 0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40),
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(1, 20),
)
def test_every_row_lands_in_one_shard_in_order(tmp_path_factory, rows, size, chunk, max_weight):
    folder = tmp_path_factory.mktemp("plan")
    rows = [{**row(i, group), "weight": weight} for i, (group, weight) in enumerate(sorted(rows))]

    summary = _write(folder, rows, chunk, rows_per_shard=lambda _: size, max_weight=max_weight)

    shards = _shards(folder) if rows else []
    assert [number for shard in shards for number in shard] == list(range(len(rows)))
    assert all(0 < len(shard) <= size for shard in shards)
    groups = [{rows[number]["shard_group"] for number in shard} for shard in shards]
    assert all(len(group) == 1 for group in groups)
    assert sum(summary.groups.values()) == len(shards)
    assert all(
        len(shard) == 1 or sum(rows[number]["weight"] for number in shard) <= max_weight
        for shard in shards
    )


def test_many_shards_are_spread_over_parts_and_read_back_by_number(tmp_path):
    count = SHARDS_PER_PART * 2 + 3
    run = new_run(tmp_path, [row(i) for i in range(count)], per_shard=1)

    assert len(list((run.folder / "plan").iterdir())) == 3
    assert run.shard_count == count
    for index in (0, SHARDS_PER_PART - 1, SHARDS_PER_PART, 2 * SHARDS_PER_PART, count - 1):
        assert [r["number"] for r in run.rows(index)] == [index]


def test_a_shard_knows_its_place_in_its_group(tmp_path):
    rows = [row(i, "train") for i in range(3)] + [row(i, "val") for i in range(2)]
    run = new_run(tmp_path, rows, per_shard=1)

    assert run.shard(0) == Shard(0, "train", 0, 3)
    assert run.shard(2) == Shard(2, "train", 2, 3)
    assert run.shard(3) == Shard(3, "val", 0, 2)
    with pytest.raises(IndexError, match="has 5 shards, no shard 5"):
        run.shard(5)


def test_a_listing_is_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "ROWS_AT_ONCE", 3)
    schema = pa.schema({"number": pa.int64()})

    count = write_listing(tmp_path / "a/b.parquet", ({"number": i} for i in range(8)), schema)

    assert count == 8
    assert pq.read_table(tmp_path / "a/b.parquet")["number"].to_pylist() == list(range(8))
    assert pq.ParquetFile(tmp_path / "a/b.parquet").num_row_groups == 3


def test_an_empty_listing_keeps_its_columns(tmp_path):
    assert write_listing(tmp_path / "a.parquet", iter(()), SCHEMA) == 0
    assert pq.read_schema(tmp_path / "a.parquet").names == SCHEMA.names
