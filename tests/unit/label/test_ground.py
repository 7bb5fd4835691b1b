"""Areas on the ground: whose word counts, exact sums, and totals only where all images have one."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from segflow.data.mask_formats import store
from segflow.jobs.output import merge_sums
from segflow.label.tables import class_sums, class_totals, effective_images, labelled
from segflow.verify import verify
from tests.unit.label.batches import LABELS, Labels, draw, predicted

pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::PendingDeprecationWarning"
)

UTM, DEGREES = "EPSG:32633", "EPSG:4326"


def _geotiff(path: Path, side: float, crs: str = UTM) -> Path:
    """Two rows of three pixels, of class 1 but for the first, of class 0."""
    bands = np.zeros((3, 2, 3), np.uint8)
    bands[0] = 1
    bands[0, 0, 0] = 0
    options = {"driver": "GTiff", "count": 3, "height": 2, "width": 3, "dtype": "uint8"}
    with rasterio.open(
        path, "w", crs=crs, transform=from_origin(50, 50, side, side), **options
    ) as dataset:
        dataset.write(bands)
    return path


def _areas(labels: Labels) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for name, _, area in labels.current("class_id, area", "current_areas"):
        found.setdefault(name, []).append(area)
    return found


def test_the_list_comes_before_the_file_and_the_file_before_the_flag(labels):
    _geotiff(labels.images / "own.tif", 0.5)
    _geotiff(labels.images / "listed.tif", 0.5)
    _geotiff(labels.images / "degrees.tif", 1e-5, DEGREES)
    draw(labels.images / "plain.png")
    rows = [{"image": path.name} for path in sorted(labels.images.iterdir())]
    next(row for row in rows if row["image"] == "listed.tif")["ground_resolution"] = 3.0
    path = labels.images / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    record = labels.label(images=str(path), ground_resolution=2.0)

    sides = {"own.tif": 0.5, "listed.tif": 3.0, "degrees.tif": 2.0, "plain.png": 2.0}
    assert dict(labels.current("ground_resolution")) == sides
    assert _areas(labels) == {name: [side**2, 5 * side**2] for name, side in sides.items()}
    assert record["images_without_area"] == 0
    assert [entry["area"] for entry in record["classes"]] == [
        sum(side**2 for side in sides.values()),
        sum(5 * side**2 for side in sides.values()),
        0.0,
    ]
    assert verify(labels.output) == ("labels", [])


def test_totals_have_no_area_where_one_image_has_none(labels):
    _geotiff(labels.images / "own.tif", 0.5)
    _geotiff(labels.images / "degrees.tif", 1e-5, DEGREES)
    draw(labels.images / "plain.png")

    record = labels.label()

    assert _areas(labels) == {
        "own.tif": [0.25, 1.25],
        "degrees.tif": [None, None],
        "plain.png": [None, None],
    }
    assert record["images_without_area"] == 2
    assert {entry["area"] for entry in record["classes"]} == {None}


def test_a_run_without_images_has_no_area(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label(ground_resolution=1.0)
    path.unlink()

    assert labels.label(ground_resolution=1.0)["classes"][0]["area"] is None


def test_verify_finds_an_area_that_is_not_its_pixels(labels):
    import pyarrow.parquet as pq

    from segflow import hashing, storage

    draw(labels.images / "a.png")
    record = labels.label(ground_resolution=2.0)
    (file,) = (f for f in record["files"] if f["path"].startswith("areas/"))
    path = labels.output / file["path"]
    table = pq.read_table(path, partitioning=None)
    areas = pa.array([4.0, 21.0])
    pq.write_table(table.set_column(table.column_names.index("area"), "area", areas), path)
    file.update(bytes=path.stat().st_size, sha256=hashing.sha256_file(path))
    storage.put(labels.output / f"runs/{record['run']}.json", storage.to_json(record))

    _, problems = verify(labels.output)

    assert [problem.partition(": ")[2] for problem in problems] == [
        f"{labels.images}/a.png: road covers 21.0 m2, its pixels and their size say 20.0",
        "area of class road: 21.0 m2 found, the record says 20.0",
    ]


_SIDES = st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=6)


@given(_SIDES, st.randoms(use_true_random=False))
def test_sums_of_areas_are_the_same_in_any_order_and_near_the_truth(sides, random):
    mask = np.array([[0, 1, 1]], np.uint8)
    said = store(mask, 3, "none"), predicted(mask), LABELS, ""
    shards = [class_sums([labelled({"image_uri": "a"}, "", *said, side)]) for side in sides]
    totals = []
    for _ in range(2):
        sums: dict = {}
        for shard in shards:
            merge_sums(sums, shard)
        sums = json.loads(json.dumps(sums))
        totals.append([*class_totals(LABELS, sums), effective_images(sums)])
        random.shuffle(shards)

    assert totals[0] == totals[1]
    *classes, images = totals[0]
    for entry, count in zip(classes, (1, 2, 0), strict=True):
        assert entry["area"] == pytest.approx(
            math.fsum(count * side**2 for side in sides), rel=1e-9, abs=1e-24
        )
    assert images["pixels"] == len(sides)
    squares = [side**2 for side in sides]
    expected = math.fsum(squares) ** 2 / math.fsum(side**2 for side in squares)
    assert images["area"] == pytest.approx(expected, rel=1e-6)


def test_a_run_says_how_many_images_of_one_size_its_images_vary_as(labels):
    for name, size in {"a.png": (2, 3), "b.png": (4, 6), "c.png": (1, 6)}.items():
        draw(labels.images / name, size=size)
    pixels = 36**2 / (6**2 + 24**2 + 6**2)
    assert labels.label()["effective_images"] == {"pixels": pytest.approx(pixels), "area": None}
