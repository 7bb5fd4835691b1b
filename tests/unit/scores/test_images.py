"""The scores of an evaluation from its table, whose parts are read a few rows at a time."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.scores import images
from segflow.scores.calibration import BINS, Reliability
from segflow.scores.images import score_images
from segflow.scores.tally import Tally

NAMES = ["sky", "road", "car"]


def _rows(count):
    rng = np.random.default_rng(3)
    for i in range(count):
        confusion, boundary = rng.integers(0, 50, (3, 3)), rng.integers(1, 50, (2, 3))
        bins = Reliability.count(rng.random(40), rng.random(40) < 0.7)
        yield {
            "key": f"{i}.png",
            "group": [None, "b", "a", "b", "c"][i % 5],
            "confusion_matrix": confusion.ravel().tolist(),
            "boundary_intersection": boundary.min(0).tolist(),
            "boundary_union": boundary.max(0).tolist(),
            "calibration_pixels": bins.pixels.tolist(),
            "calibration_hits": bins.hits.tolist(),
            "calibration_confidence": bins.confidence.tolist(),
        }


@pytest.fixture(scope="module")
def rows():
    return list(_rows(150))


def _write(folder, rows, cuts):
    """Parts as `images/part-*.parquet`, one of them empty; the record's list of them."""
    (folder / "images").mkdir(parents=True)
    schema = pa.Table.from_pylist(rows[1:2]).schema
    ends = [0, *cuts, len(rows)]
    files = []
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        path = f"images/part-{number:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows[start:end], schema), folder / path)
        files.append({"path": path})
    return [*files, {"path": "rejects/part-00000.parquet"}]


def test_they_are_those_of_all_rows_together(rows, tmp_path):
    tally = Tally(3, "abc")
    union, both = ([row[f"boundary_{n}"] for row in rows] for n in ("union", "intersection"))
    confusion = np.array([row["confusion_matrix"] for row in rows]).reshape(-1, 3, 3)
    keys, groups = ([row[name] for row in rows] for name in ("key", "group"))
    tally.add(keys, confusion, np.stack([both, union], axis=1), groups)
    expected = tally.summary(NAMES)

    found = score_images(tmp_path, _write(tmp_path, rows, [70, 70]), NAMES)

    assert found.pop("groups") == 3
    bins = found.pop("calibration")["bins"]
    assert found == expected
    for name in ("pixels", "hits", "confidence"):
        total = np.sum([row[f"calibration_{name}"] for row in rows], axis=0)
        assert bins[name] == pytest.approx(total.tolist(), rel=1e-12)
        assert len(bins[name]) == BINS


def test_parts_do_not_matter(rows, tmp_path):
    whole, cut = (
        score_images(tmp_path / name, _write(tmp_path / name, rows, cuts), NAMES)
        for name, cuts in (("whole", []), ("cut [0-9]*", [1, 60, 149]))
    )
    assert whole.pop("calibration")["bins"]["hits"] == cut.pop("calibration")["bins"]["hits"]
    assert whole == cut


def test_of_many_groups_those_with_most_images_are_scored(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_GROUPS", 2)
    found = score_images(tmp_path, _write(tmp_path, rows, []), NAMES)
    assert found["groups"] == 3
    assert {name: g["examples"] for name, g in found["by_group"].items()} == {"a": 30, "b": 60}


def test_without_a_part_there_is_nothing_to_score(tmp_path):
    found = score_images(tmp_path, [], NAMES)
    assert found["mean_iou"] is None
    assert (found["by_group"], found["groups"]) == ({}, 0)
