"""What an attempt collects: files with their hashes, counts, rejects, sums."""

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from segflow.errors import RejectCode, RejectError
from segflow.jobs.output import ShardOutput, merge_sums
from tests.unit.jobs.tally import new_run, row

_sums = st.dictionaries(
    st.sampled_from("abc"), st.dictionaries(st.sampled_from("xyz"), st.integers(0, 10**15))
)


def _output(tmp_path) -> ShardOutput:
    run = new_run(tmp_path, [row(1)])
    return ShardOutput(run, run.new_attempt(0))


def test_a_table_is_one_row_group_compressed_with_zstd(tmp_path):
    output = _output(tmp_path)
    output.add_table("t/part.parquet", pa.table({"a": list(range(5000))}))

    with pq.ParquetFile(output.folder / "t/part.parquet") as file:
        assert file.num_row_groups == 1
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        assert file.metadata.row_group(0).column(0).statistics.max == 4999


def test_an_empty_table_keeps_its_columns(tmp_path):
    output = _output(tmp_path)
    output.add_table("t.parquet", pa.table({"a": pa.array([], pa.int64())}))

    assert pq.read_schema(output.folder / "t.parquet").names == ["a"]
    assert output.record()["files"][0]["rows"] == 0


def test_rejects_keep_what_a_row_has_and_the_reason(tmp_path):
    output = _output(tmp_path)

    output.reject({"key": "a", "image_uri": "/a"}, RejectError(RejectCode.TOO_LARGE, "9 pixels"))

    assert output.rejects == [
        {
            "key": "a",
            "image_uri": "/a",
            "mask_uri": None,
            "code": "too_large",
            "message": "9 pixels",
        }
    ]
    assert output.record()["rejected_by_code"] == {"too_large": 1}


@given(_sums, _sums)
def test_sums_add_up_branch_by_branch(first, second):
    total: dict = {}
    merge_sums(total, first)
    merge_sums(total, second)

    assert total.keys() == first.keys() | second.keys()
    for name, branch in total.items():
        parts = [first.get(name, {}), second.get(name, {})]
        assert branch.keys() == parts[0].keys() | parts[1].keys()
        assert all(value == sum(p.get(k, 0) for p in parts) for k, value in branch.items())


@given(_sums, _sums)
def test_the_order_of_shards_does_not_matter_to_sums(first, second):
    one: dict = {}
    other: dict = {}
    for total, parts in ((one, (first, second)), (other, (second, first))):
        for part in parts:
            merge_sums(total, part)

    assert one == other


def test_sums_of_counts_are_pythons_integers_that_never_overflow():
    total = {"a": 2**62}
    merge_sums(total, {"a": 2**62})
    merge_sums(total, {"a": 2**62})

    assert total["a"] == 3 * 2**62
