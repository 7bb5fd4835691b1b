"""Texts of hostile files: what they expand to is bounded, and the message is one line."""

import io
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.data.layouts import SourcePaths
from segflow.data.layouts.manifest import Manifest
from segflow.data.layouts.parquet import Parquet
from segflow.data.texts import parquet_rows, short_lines
from segflow.errors import UsageError

_WRITERS = {
    "dictionary": {},
    "plain": {"use_dictionary": False},
    "prefixes": {"use_dictionary": False, "column_encoding": {"key": "DELTA_BYTE_ARRAY"}},
    "lengths": {"use_dictionary": False, "column_encoding": {"key": "DELTA_LENGTH_BYTE_ARRAY"}},
}


def _write(path: Path, key: pa.Array, image: str | bytes = "a.png", **options: object) -> Path:
    images = pa.array([image] * len(key))
    pq.write_table(pa.table({"image": images, "key": key}), path, compression="zstd", **options)
    return path


def _repeated(text: str, times: int) -> pa.Array:
    """The text many times, and in memory once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text]))


@pytest.mark.parametrize("options", _WRITERS.values(), ids=_WRITERS)
def test_texts_and_numbers_come_back_however_they_are_stored(tmp_path, options):
    keys = ["one", None, *(f"photo {number}" for number in range(600))]
    path = _write(tmp_path / "l.parquet", pa.array(keys), row_group_size=500, **options)

    assert [row["key"] for row in parquet_rows(path, ["key"])] == keys


@pytest.mark.parametrize("options", _WRITERS.values(), ids=_WRITERS)
def test_a_long_text_ends_a_list_and_a_pack_with_one_line(tmp_path, options):
    keys = pa.array(["x" * 70_000] * 50)
    sources = {
        "list": Manifest().images(
            SourcePaths(str(_write(tmp_path / "l.parquet", keys, **options)))
        ),
        "pack": Parquet().images(
            SourcePaths(str(_write(tmp_path / "p.parquet", keys, b"png", **options)))
        ),
    }
    for name, images in sources.items():
        with pytest.raises(UsageError, match=r"column key is longer than 65536") as caught:
            list(images)
        assert str(tmp_path) in str(caught.value), name
        assert len(str(caught.value)) < 300


def test_a_text_that_a_small_file_says_for_a_million_rows_is_in_memory_once(tmp_path):
    path = _write(tmp_path / "l.parquet", _repeated("x" * 60_000, 20_000))
    assert path.stat().st_size < 20_000  # 1.2 GB, were all of it told
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    most = 0

    for row in parquet_rows(path, ["key"]):
        most = max(most, pa.total_allocated_bytes() - arrow)
        assert len(row["key"]) == 60_000

    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most + python < 100 << 20


def test_a_column_of_lists_is_no_text(tmp_path):
    path = _write(tmp_path / "l.parquet", pa.array([["a"], ["b"]]))

    with pytest.raises(UsageError, match="column key must hold texts or numbers, found list"):
        list(Manifest().images(SourcePaths(str(path))))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_line_without_an_end_is_not_read_to_it(tmp_path, suffix):
    path = tmp_path / f"l.{suffix}"
    path.write_text('image\n"' + "x" * 3_000_000 if suffix == "csv" else '{"image": "' * 300_000)

    with pytest.raises(UsageError, match=r"line \d: longer than 1048576 characters"):
        list(Manifest().images(SourcePaths(str(path))))


def test_a_long_text_in_a_line_is_refused(tmp_path):
    path = tmp_path / "l.jsonl"
    path.write_text(f'{{"image": "a.png", "key": "{"x" * 70_000}"}}')

    with pytest.raises(UsageError, match="row 1: key is longer than 65536 characters"):
        list(Manifest().images(SourcePaths(str(path))))


def test_short_lines_are_the_lines():
    text = "a\n\nb\nc"

    assert list(short_lines(io.StringIO(text))) == list(io.StringIO(text))
