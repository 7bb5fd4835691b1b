"""The tables of labelling: areas add up, what has no value is null."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segflow.data.mask_formats import decode, store
from segflow.label.tables import AREAS_SCHEMA, IMAGES_SCHEMA, Labelled, class_sums, labelled
from tests.unit.label.batches import LABELS, Labels, draw, predicted

_mask = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 2)
)
CONFIDENCE = np.array([0.5, np.nan, 0.25])
DOUBT = np.array([[0, 255], [17, 34]], np.uint8)
ROW = {"image_uri": "/a.png", "image_part": None, "key": "a", "group": None}


def _labelled(
    mask: np.ndarray,
    mask_format: str = "png",
    ground_resolution: float | None = None,
    regions: np.ndarray | None = None,
) -> Labelled:
    prediction = replace(predicted(mask, DOUBT), class_confidence=CONFIDENCE)
    stored = store(mask, LABELS.num_classes, mask_format)
    said = stored, prediction, LABELS, "m" * 64, ground_resolution
    return labelled(ROW, "f" * 64, *said, regions=regions)


def _rows(labels: Labels, record: Mapping[str, Any], table: str) -> list[dict[str, Any]]:
    return [
        row
        for file in record["files"]
        if file["path"].startswith(f"{table}/")
        for row in pq.read_table(labels.output / file["path"], partitioning=None).to_pylist()
    ]


@given(_mask)
def test_the_areas_of_an_image_add_up_to_its_pixels(mask):
    areas = _labelled(mask).areas

    assert sum(area["pixels"] for area in areas) == mask.size
    assert sum(area["fraction"] for area in areas) == pytest.approx(1)
    assert {a["class_id"]: a["pixels"] for a in areas} == {
        i: int((mask == i).sum()) for i in np.unique(mask)
    }


def test_a_class_without_pixels_has_no_row():
    areas = _labelled(np.full((2, 3), 2, np.uint8)).areas

    assert areas == [
        {
            "image_uri": "/a.png",
            "class_id": 2,
            "class_name": "it's",
            "pixels": 6,
            "fraction": 1.0,
            "area": None,
            "mean_confidence": 0.25,
            "regions": None,
        }
    ]


def test_a_class_that_only_enlarging_brought_about_has_no_confidence():
    areas = _labelled(np.array([[0, 1]], np.uint8)).areas

    assert [area["mean_confidence"] for area in areas] == [0.5, None]


def test_the_row_of_an_image_holds_its_mask_and_where_it_comes_from():
    mask = np.array([[0, 1, 2], [2, 2, 2]], np.uint8)

    row = _labelled(mask).image

    assert np.array_equal(decode(row.pop("mask"), "png"), mask)
    assert np.array_equal(decode(row.pop("uncertainty"), "png"), DOUBT)
    assert row == {
        **ROW,
        "image_sha256": "f" * 64,
        "ground_resolution": None,
        "height": 2,
        "width": 3,
        "mask_format": "png",
        "mean_confidence": 0.625,
        "mean_entropy": pytest.approx(0.3),
        "uncertain_fraction": 0.25,
        "model_fingerprint": "m" * 64,
    }


def test_regions_stand_beside_their_class():
    areas = _labelled(np.array([[0, 2, 0]], np.uint8), regions=np.array([2, 0, 1])).areas

    assert {a["class_name"]: a["regions"] for a in areas} == {"sky": 2, "it's": 1}


def test_masks_may_be_left_out():
    row = _labelled(np.zeros((2, 3), np.uint8), "none").image

    assert (row["mask"], row["mask_format"]) == (None, "none")


@pytest.mark.parametrize("mask_format", ["png", "rle", "none"])
def test_rows_fit_their_schemas(mask_format):
    rows = _labelled(np.array([[0, 1]], np.uint8), mask_format, 0.5, np.array([1, 1, 0]))

    images = pa.Table.from_pylist([rows.image], schema=IMAGES_SCHEMA)
    areas = pa.Table.from_pylist(rows.areas, schema=AREAS_SCHEMA)

    assert images.to_pylist() == [rows.image]
    assert areas.to_pylist() == rows.areas


@given(st.lists(_mask, max_size=4))
def test_class_sums_add_up_over_images(masks):
    sums = class_sums([_labelled(mask) for mask in masks])

    assert sums["pixels"] == sum(mask.size for mask in masks)
    for class_id in range(3):
        found = [int((mask == class_id).sum()) for mask in masks if (mask == class_id).any()]
        entry = sums["classes"].get(str(class_id), {"pixels": 0, "area": 0, "images": 0})
        assert entry == {"pixels": sum(found), "area": 0, "images": len(found)}


def test_a_run_writes_both_tables_and_totals_that_agree_with_them(labels):
    sizes = {"a.png": (2, 3), "b.png": (4, 5), "c.png": (1, 7)}
    for name, size in sizes.items():
        draw(labels.images / name, red=1 + (name == "b.png"), size=size)
    (labels.images / "broken.png").write_text("no picture")

    record = labels.label()

    tables = {name: _rows(labels, record, name) for name in ("images", "areas", "rejects")}
    assert {labels.name(r["image_uri"]): (r["height"], r["width"]) for r in tables["images"]} == (
        sizes
    )
    for row in tables["images"]:
        data = (labels.images / labels.name(row["image_uri"])).read_bytes()
        assert row["image_sha256"] == hashlib.sha256(data).hexdigest()
    assert record["pixels"] == sum(r["pixels"] for r in tables["areas"]) == 33
    assert record["classes"] == [
        {"id": 0, "name": "sky", "pixels": 3, "images": 3, "fraction": 3 / 33, "area": None},
        {"id": 1, "name": "road", "pixels": 11, "images": 2, "fraction": 11 / 33, "area": None},
        {"id": 2, "name": "it's", "pixels": 19, "images": 1, "fraction": 19 / 33, "area": None},
    ]
    assert [(r["key"], r["mask_uri"], r["code"]) for r in tables["rejects"]] == [
        ("broken", None, "unreadable")
    ]
    assert record["inputs"] == {
        "listed": 4,
        "accepted": 3,
        "rejected": 1,
        "by_code": {"unreadable": 1},
    }


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("worker_threads", [1, 3])
def test_batches_and_threads_change_no_row(labels, batch_size, worker_threads):
    for number in range(7):
        draw(labels.images / f"{number}.png", red=number % 3, size=(2, 1 + number))
    (labels.images / "broken.png").write_text("no picture")

    record = labels.label(batch_size=batch_size, worker_threads=worker_threads, shard_size=8)

    (path,) = (f["path"] for f in record["files"] if f["path"].startswith("images/"))
    rows = pq.read_table(labels.output / path, partitioning=None).to_pylist()
    planned = [name for name in labels.planned(record) if name != "broken.png"]
    assert [labels.name(row["image_uri"]) for row in rows] == planned
    assert all(row["width"] == 1 + int(labels.name(row["image_uri"])[0]) for row in rows)


def test_an_image_that_changed_since_it_was_listed_is_rejected(labels, monkeypatch):
    path = draw(labels.images / "a.png")
    from segflow.label.labelling import LabelWork

    call = LabelWork.__call__

    def change_first(work: LabelWork, *arguments: object) -> None:
        draw(path, size=(9, 9))
        call(work, *arguments)

    monkeypatch.setattr(LabelWork, "__call__", change_first)

    assert labels.label()["inputs"]["by_code"] == {"source_changed": 1}


def test_regions_are_counted_where_they_are_asked_for(labels):
    draw(labels.images / "a.png", red=2, size=(3, 4))

    counted = labels.label(count_regions=True)
    (labels.images / "a.png").touch()
    plain = labels.label()

    assert [row["regions"] for row in _rows(labels, counted, "areas")] == [1, 1]
    assert [row["regions"] for row in _rows(labels, plain, "areas")] == [None, None]
