"""References in a bundle: they come back as they were written, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow import hashing, storage
from segflow.errors import UsageError
from segflow.references import stored
from segflow.references.stored import Reference
from tests.references import write_reference

MATRICES = np.random.default_rng(1).integers(0, 4, (11, 3, 3)) * 1000
MATRICES[:, 0, 0] += 1  # an image without a pixel that counts is none


@pytest.mark.parametrize(("rows", "images"), [(1, 2), (7, 4), (1000, 11), (1000, 64)])
def test_matrices_come_back_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, images: int
) -> None:
    """However images lie across the batches in which rows are read."""
    monkeypatch.setattr(stored, "_ROWS_AT_ONCE", rows)
    monkeypatch.setattr(stored, "IMAGES_AT_ONCE", images)
    reference = Reference.load(write_reference(tmp_path, MATRICES))

    blocks = list(reference.matrices(3))

    assert [len(block) for block in blocks[:-1]] == [images] * (len(blocks) - 1)
    assert np.array_equal(np.concatenate(blocks), MATRICES)
    assert reference.images == 11


def test_nothing_but_record_and_table_lies_there(tmp_path: Path) -> None:
    path = write_reference(tmp_path, MATRICES)
    (path.parent / f".r1.parquet.{'0' * 32}").write_bytes(b"of a writer that was killed")
    assert write_reference(tmp_path, MATRICES, "r2") == tmp_path / "references/r2.json"

    assert stored.record_paths(tmp_path) == [path, path.with_name("r2.json")]
    assert sorted(p.name for p in path.parent.iterdir()) == [
        *("r1.json", "r1.parquet", "r2.json", "r2.parquet")
    ]
    assert stored.record_paths(tmp_path / "none") == []


def test_a_table_that_was_altered_is_refused(tmp_path: Path) -> None:
    path = write_reference(tmp_path, MATRICES)
    write_reference(tmp_path, MATRICES + 1, "r2")
    path.with_name("r2.parquet").replace(path.with_suffix(".parquet"))
    with pytest.raises(UsageError, match=r"r1\.parquet: "):
        Reference.load(path)


def test_a_table_of_other_images_than_the_record_says_is_told(tmp_path: Path) -> None:
    reference = Reference.load(write_reference(tmp_path, MATRICES, images=40))
    with pytest.raises(UsageError, match=r"r1\.json: 11 images found, the record says 40"):
        list(reference.matrices(3))


def test_a_table_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not yours")

    path = write_reference(tmp_path, MATRICES)
    monkeypatch.setattr(stored, "check_file", refuse)
    with pytest.raises(UsageError, match=r"its table cannot be read: not yours"):
        Reference.load(path)


def test_a_record_names_no_other_file(tmp_path: Path) -> None:
    path = write_reference(tmp_path / "other", MATRICES)
    record = storage.read_json(path)
    record["table"]["file"] = str(path.with_suffix(".parquet"))
    storage.put(tmp_path / "references/r1.json", storage.to_json(record))
    with pytest.raises(UsageError, match=r"references/r1\.parquet: missing"):
        Reference.load(tmp_path / "references/r1.json")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: record.update(format_version=9), "format version 9"),
        (lambda record: record.pop("tta"), "no tta"),
        (lambda record: record.update(images=0), "images is 0"),
        (lambda record: record.update(images="40"), "images is '40'"),
        (lambda record: record.update(images=True), "images is True"),
        (lambda record: record.update(pixels=1.5), "pixels is 1.5"),
        (lambda record: record.update(trained_on="3"), "trained_on is '3'"),
        (lambda record: record.update(started=9), "started is 9"),
        (lambda record: record.update(table="r1.parquet"), "string indices"),
        (lambda record: record.update(data=["/photos"]), "data is "),
    ],
)
def test_a_record_that_is_none_is_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    path = write_reference(tmp_path, MATRICES)
    record = storage.read_json(path)
    change(record)
    storage.put(path, storage.to_json(record))
    with pytest.raises(UsageError, match=f"r1.json: not a reference .*: {problem}"):
        Reference.load(path)


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("truth", [0, 3], "truth of 0 to 3"),
        ("prediction", [-1, 0], "prediction of -1 to 0"),
        ("pixels", [5, -5], "pixels of -5 to 5"),
        ("pixels", [5, None], "nulls"),
        ("truth", ["0", "1"], ""),
    ],
)
def test_a_table_of_something_else_is_told(
    tmp_path: Path, name: str, values: list[Any], problem: str
) -> None:
    """Though its hash is the recorded one: a negative class would count from the end."""
    path = write_reference(tmp_path, MATRICES)
    table, record = path.with_suffix(".parquet"), storage.read_json(path)
    columns = {"image_sha256": ["a", "b"], "truth": [0, 1], "prediction": [0, 1], "pixels": [5, 5]}
    pq.write_table(pa.table({**columns, name: values}), table)
    record["table"] |= {"bytes": table.stat().st_size, "sha256": hashing.sha256_file(table)}
    storage.put(path, storage.to_json(record))
    with pytest.raises(UsageError, match=rf"r1\.parquet: not a table of counts: .*{problem}"):
        list(Reference.load(path).matrices(3))
