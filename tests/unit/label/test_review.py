"""The review list of a run, against a plain sort in Python."""

import csv
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.label.review import least_certain
from segflow.label.tables import AREAS_SCHEMA, IMAGES_SCHEMA
from tests.unit.label.batches import Labels, draw

NAMES = ("sky", "road", "it's")
Row = dict[str, Any]


def _drawn(count: int, seed: int) -> tuple[list[Row], dict[str, list[Row]]]:
    """Rows of images, many of them equally uncertain, and of their areas."""
    rng = np.random.default_rng(seed)
    images: list[Row] = []
    areas: dict[str, list[Row]] = {}
    for index in rng.permutation(count):
        uri = f"/images/{index:03d}.png"
        certainty = rng.integers(0, 10, 3) / 10
        images.append(
            {
                **{"image_uri": uri, "image_sha256": "ab" * 32, "height": 2, "width": 5},
                **{"mean_entropy": certainty[0], "mean_confidence": certainty[1]},
                "uncertain_fraction": certainty[2],
            }
        )
        largest = rng.choice(3, p=(0.8, 0.1, 0.1))
        pixels = rng.multinomial(10, np.where(np.arange(3) == largest, 0.8, 0.1))
        areas[uri] = [
            {
                **{"image_uri": uri, "class_id": i, "class_name": NAMES[i], "pixels": n},
                "mean_confidence": None if i == 2 else rng.integers(1, 10) / 10,
            }
            for i, n in enumerate(pixels.tolist())
            if n
        ]
    return images, areas


def _written(folder: Path, images: list[Row], areas: dict[str, list[Row]]) -> Row:
    """The record of a run with these rows, in part files of 25 images."""
    files = []
    for part in range(0, len(images), 25):
        some = images[part : part + 25]
        tables = {
            "images": pa.Table.from_pylist(some, IMAGES_SCHEMA),
            "areas": pa.Table.from_pylist(
                [area for row in some for area in areas[row["image_uri"]]], AREAS_SCHEMA
            ),
        }
        for name, table in tables.items():
            path = folder / f"{name}/run=r/part-{part:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
            files.append({"path": str(path.relative_to(folder))})
    classes = [{"id": i, "name": name} for i, name in enumerate(NAMES)]
    config = {"uncertain_below": 0.75}
    return {"run": "r", "files": files, "classes": classes, "config": config}


def _group(image: Row, areas: list[Row]) -> tuple[bool, str]:
    largest = max(areas, key=lambda area: (area["pixels"], -area["class_id"]))["class_name"]
    return "group" in image, str(image.get("group", largest))


def _expected(images: list[Row], areas: dict[str, list[Row]], count: int) -> list[str]:
    ranked = sorted(images, key=lambda row: (-row["mean_entropy"], row["image_uri"]))
    groups = {row["image_uri"]: _group(row, areas[row["image_uri"]]) for row in images}
    most = math.ceil(2 * count / len(set(groups.values())))
    taken: Counter[str] = Counter()
    first, rest = [], []
    for uri in (row["image_uri"] for row in ranked):
        taken[groups[uri]] += 1
        (first if taken[groups[uri]] <= most else rest).append(uri)
    listed = set([*first, *rest][:count])
    return [row["image_uri"] for row in ranked if row["image_uri"] in listed]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("count", [1, 7, 40, 55, 100])
def test_the_least_certain_come_first_and_no_group_fills_the_list(tmp_path, count, seed):
    images, areas = _drawn(60, seed)
    record = _written(tmp_path / "it's [1]" / "a=b", images, areas)

    listed = least_certain(tmp_path / "it's [1]" / "a=b", record, count)

    assert [row["image_uri"] for row in listed] == _expected(images, areas, count)
    assert [row["rank"] for row in listed] == list(range(1, min(count, 60) + 1))
    assert {row["largest_class"] for row in listed} <= set(NAMES)
    if count == 7:  # else the rule would have had nothing to do
        ranked = sorted(images, key=lambda row: (-row["mean_entropy"], row["image_uri"]))
        first = {row["image_uri"] for row in ranked[:count]}
        assert len(first - {row["image_uri"] for row in listed}) > 0


def test_groups_of_a_list_stand_for_likeness_where_it_says_them(tmp_path):
    images, areas = _drawn(60, 2)
    for row in images[::2]:
        row["group"] = f"flight {len(areas[row['image_uri']])}"
    record = _written(tmp_path, images, areas)

    for count in (6, 30):
        listed = least_certain(tmp_path, record, count)
        assert [row["image_uri"] for row in listed] == _expected(images, areas, count)


def test_a_row_says_where_the_mask_lies_and_why_the_image_is_listed(tmp_path):
    images, areas = _drawn(30, 0)
    record = _written(tmp_path, images, areas)

    for row in least_certain(tmp_path, record, 30):
        part = pq.read_table(tmp_path / row["part"], partitioning=None).to_pylist()
        (stored,) = (image for image in part if image["image_uri"] == row["image_uri"])
        for name in ("image_sha256", "height", "width", "mean_entropy", "mean_confidence"):
            assert row[name] == stored[name]
        share = stored["uncertain_fraction"]
        where = f"{share * 100:.0f} % of its pixels have" if share else "no pixel has"
        expected, doubtful = f"{where} a confidence below 0.75", None
        known = [a for a in areas[row["image_uri"]] if a["mean_confidence"] is not None]
        if known:
            doubt = max(known, key=lambda a: (_doubt(a), -a["class_id"]))
            doubtful, mean = doubt["class_name"], f"{doubt['mean_confidence']:.2f}"
            expected += f"; most doubt is in {doubtful} (mean confidence {mean})"
        assert (row["doubtful_class"], row["reason"]) == (doubtful, expected)


def _doubt(area: Row) -> float:
    return float(area["pixels"] * (1 - area["mean_confidence"]))


def _list(labels: Labels, record: Row) -> list[dict[str, str]]:
    path = labels.output / f"review/run={record['run']}/review.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_relative_output_gives_the_same_list(tmp_path, monkeypatch):
    record = _written(tmp_path / "labels", *_drawn(10, 0))
    expected = least_certain(tmp_path / "labels", record, 5)
    monkeypatch.chdir(tmp_path)

    assert least_certain(Path("labels"), record, 5) == expected != []


def test_each_run_leaves_the_list_of_its_own_images(labels):
    for number, green in enumerate((30, 240, 0, 120)):
        draw(labels.images / f"größe, {number}.png", green=green)
    first = labels.label(review=3)
    draw(labels.images / "new.png", green=10)
    second = labels.label(review=3)

    names = [labels.name(row["image_uri"]) for row in _list(labels, first)]
    assert names == ["größe, 1.png", "größe, 3.png", "größe, 0.png"]
    assert [labels.name(row["image_uri"]) for row in _list(labels, second)] == ["new.png"]


def test_a_list_may_be_unwanted_or_empty(labels):
    draw(labels.images / "a.png")
    assert _list(labels, labels.label(review=0)) == []
    (labels.images / "a.png").unlink()
    (labels.images / "b.png").write_text("no picture")
    assert _list(labels, labels.label()) == []
    assert not (labels.output / "review").exists()
