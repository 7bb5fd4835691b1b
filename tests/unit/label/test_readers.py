"""The tables as other programs read them: pyarrow, pandas, DuckDB and Polars."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from segflow.data.mask_formats import decode
from segflow.jobs import output
from segflow.jobs.output import REJECTS_SCHEMA
from segflow.label.tables import AREAS_SCHEMA, IMAGES_SCHEMA
from tests.unit.label.batches import Labels, draw

Rows = list[dict[str, Any]]


def _pyarrow(folder: Path) -> Rows:
    return ds.dataset(folder, partitioning="hive").to_table().to_pylist()


def _pandas(folder: Path) -> Rows:
    frame = pd.read_parquet(folder)
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _duckdb(folder: Path) -> Rows:
    relation = duckdb.sql(f"FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true)")
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def _polars(folder: Path) -> Rows:
    return pl.read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True).to_dicts()


READERS = {"pyarrow": _pyarrow, "pandas": _pandas, "duckdb": _duckdb, "polars": _polars}


@pytest.fixture
def labelled(labels: Labels) -> Labels:
    """Three images in two shards, and a reject."""
    for number in range(3):
        draw(labels.images / f"{number}.png", red=number % 3, size=(2, 3 + number))
    (labels.images / "broken.png").write_text("no picture")
    labels.label(ground_resolution=0.5)
    return labels


def _sorted(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: (row["image_uri"], row.get("class_id", 0)))


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_every_reader_sees_the_same(labelled: Labels, reader: Callable[[Path], Rows]):
    (run,) = (path.stem for path in (labelled.output / "runs").iterdir())

    images = _sorted(reader(labelled.output / "images"))
    areas = _sorted(reader(labelled.output / "areas"))
    (reject,) = reader(labelled.output / "rejects")

    assert [labelled.name(row["image_uri"]) for row in images] == ["0.png", "1.png", "2.png"]
    assert [(row["height"], row["width"]) for row in images] == [(2, 3), (2, 4), (2, 5)]
    assert {(row["run"], row["group"], row["ground_resolution"]) for row in images} == {
        (run, None, 0.5)
    }
    masks = [decode(row["mask"], "png") for row in images]
    counted = {
        (row["image_uri"], class_id): int((mask == class_id).sum())
        for row, mask in zip(images, masks, strict=True)
        for class_id in {0, *mask.ravel().tolist()}
    }
    assert {(row["image_uri"], row["class_id"]): row["pixels"] for row in areas} == counted
    assert all(row["area"] == row["pixels"] * 0.25 for row in areas)
    assert (reject["key"], reject["code"], reject["mask_uri"]) == ("broken", "unreadable", None)


@pytest.mark.parametrize("schema", [IMAGES_SCHEMA, AREAS_SCHEMA, REJECTS_SCHEMA])
def test_every_column_is_described(schema):
    for field in schema:
        assert field.metadata[b"description"].decode().strip(), field.name


def test_units_are_in_the_files(labelled):
    def units(table: str) -> dict[str, str]:
        path = next((labelled.output / table).rglob("*.parquet"))
        schema = pq.read_schema(path)
        return {f.name: f.metadata[b"unit"].decode() for f in schema if b"unit" in f.metadata}

    assert units("areas") == {"pixels": "pixels", "area": "m2"}
    assert units("images") == {"height": "pixels", "width": "pixels", "ground_resolution": "m"}


def test_what_comes_again_is_a_dictionary_and_all_else_has_statistics(labelled):
    def columns(table: str) -> dict[str, Any]:
        path = next((labelled.output / table).rglob("*.parquet"))
        group = pq.read_metadata(path).row_group(0)
        chunks = [group.column(i) for i in range(group.num_columns)]
        return {chunk.path_in_schema: chunk for chunk in chunks}

    images, areas = columns("images"), columns("areas")

    assert {chunk.compression for chunk in (*images.values(), *areas.values())} == {"ZSTD"}
    assert {name for name, chunk in areas.items() if chunk.has_dictionary_page} == {
        "image_uri",
        "class_id",
        "class_name",
    }
    coded = {name for name, chunk in images.items() if "RLE_DICTIONARY" in chunk.encodings}
    assert coded == {"group", "mask_format", "model_fingerprint"}
    assert {name for name, c in images.items() if not c.is_stats_set} == {"mask", "uncertainty"}
    assert areas["pixels"].statistics.max >= 5
    assert all(chunk.is_stats_set for chunk in areas.values())


def test_large_parts_have_row_groups_of_a_size_that_readers_can_hold(labels, monkeypatch):
    monkeypatch.setattr(output, "_ROW_GROUP_BYTES", 500)
    for number in range(8):
        draw(labels.images / f"{number}.png", size=(30, 40))

    record = labels.label(shard_size=8)

    (path,) = (file["path"] for file in record["files"] if file["path"].startswith("images/"))
    assert pq.read_metadata(labels.output / path).num_row_groups > 1
    assert len(labels.current("height")) == 8
