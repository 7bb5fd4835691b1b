"""`segflow verify` finds each kind of lie, even where sizes and checksums agree."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow import hashing, storage
from segflow.verify import verify
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, encode, scene
from tests.programs import IN_MEMORY, run_program

Record = dict[str, Any]
Row = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, an evaluation and labels of eight sound pairs and one without a mask."""
    folder = tmp_path_factory.mktemp("made")
    pairs = Pairs(folder / "data", count=8)
    (pairs.images / "lonely.png").write_bytes(encode(scene(9)[0]))
    (pairs.images / "broken.png").write_bytes(b"no image")
    flags = pairs.flags(folder / "dataset", shard_size=4, splits="train=0.5,val=0.5")
    model = write_bundle(folder / "model", LABELS)
    raw = (f"--images={pairs.images}", "--max-reject-fraction=1", IN_MEMORY, f"--model={model}")
    commands = (
        ("ingest", *flags, IN_MEMORY),
        ("evaluate", *raw, f"--masks={pairs.masks}", f"--output={folder / 'evaluation'}"),
        ("label", *raw, f"--output={folder / 'labels'}", "--shard-size=4", "--count-regions"),
    )
    for command in commands:
        assert run_program(*command).code == 0
    return folder


@pytest.fixture
def copy(made, tmp_path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(made / kind, tmp_path / kind))


def _record_path(folder: Path) -> Path:
    (path,) = [p for p in folder.rglob("*.json") if "_runs" not in p.parts]
    return path


def _change_record(folder: Path, change: Callable[[Record], object]) -> None:
    path = _record_path(folder)
    record = storage.read_json(path)
    change(record)
    storage.put(path, storage.to_json(record))


def _change_row(folder: Path, table: str, change: Callable[[Row], object]) -> None:
    """Changes the first row of a table's first part, and the record so that it still fits."""
    path = sorted(folder.rglob(f"{table}/**/part-*.parquet"))[0]
    content = pq.read_table(path, partitioning=None)
    rows = content.to_pylist()
    change(rows[0])
    pq.write_table(pa.Table.from_pylist(rows, schema=content.schema), path)
    _reseal(folder, path)


def _reseal(folder: Path, path: Path) -> None:
    def fit(record: Record) -> None:
        for file in record["files"]:
            if folder / file["path"] == path:
                file.update(bytes=path.stat().st_size, sha256=hashing.sha256_file(path))

    _change_record(folder, fit)


@pytest.mark.parametrize("kind", ["dataset", "evaluation", "labels"])
def test_what_was_written_is_sound(made, kind):
    assert verify(made / kind) == (kind, [])


@pytest.mark.parametrize("kind", ["dataset", "evaluation", "labels"])
def test_inputs_that_do_not_add_up(copy, kind):
    folder = copy(kind)
    inputs = storage.read_json(_record_path(folder))["inputs"]
    _change_record(folder, lambda record: record["inputs"].update(rejected=7))
    problems = verify(folder)[1]
    sums = f"inputs: {inputs['accepted']} + 7 is not {inputs['listed']}"
    assert any(sums in problem for problem in problems)
    assert any("the rejects by code do not add up to 7" in problem for problem in problems)
    assert any(
        problem.endswith(f"rejects: {inputs['rejected']} found, the record says 7")
        for problem in problems
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda row: row.update(key="another"), "the record's key is"),
        (lambda row: row.update(height=99), "are not (99, 24)"),
        (lambda row: row["class_pixels"].__setitem__(0, 3), "pixels are not those in the index"),
        (lambda row: row.update(ignored_pixels=1), "ignored pixels: "),
        (lambda row: row.update(variant=1), "sources: "),
    ],
)
def test_an_index_that_is_not_of_its_records(copy, change, problem):
    folder = copy("dataset")
    _change_row(folder, "index", change)
    assert any(problem in found for found in verify(folder)[1])


def test_a_split_that_claims_other_pixels(copy):
    folder = copy("dataset")
    _change_record(
        folder, lambda record: record["splits"]["train"]["class_pixels"].update({"1": 5})
    )
    assert any(
        found.startswith("train: class 1: ") and found.endswith("the record says 5")
        for found in verify(folder)[1]
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("duplicates", lambda record: record["duplicates"]["exact"].update(sets=9)),
        ("duplicates", lambda record: record["duplicates"].update(dropped=9)),
        ("groups", lambda record: record["groups"].update(straddling=9)),
    ],
)
def test_leaks_that_the_index_does_not_have(copy, name, change):
    folder = copy("dataset")
    _change_record(folder, change)
    (problem,) = verify(folder)[1]
    assert problem.startswith(f"{name}: the index gives ")
    assert ": 9" in problem


def test_an_index_that_lacks_a_row(copy):
    folder = copy("dataset")
    path = sorted(folder.glob("index/*.parquet"))[0]
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    _reseal(folder, path)
    assert any(f"{len(table)} records, {len(table) - 1} rows" in p for p in verify(folder)[1])


@pytest.mark.parametrize(
    ("table", "change", "problem"),
    [
        ("images", lambda row: row.update(height=99), "areas add up to"),
        ("images", lambda row: row.update(width=16, height=24), "the mask is (16, 24)"),
        ("images", lambda row: row.update(mean_entropy=1.2), "mean_entropy is 1.2, not 0 to 1"),
        ("images", lambda row: row.update(mean_confidence=0.1), "mean_confidence of all images: "),
        (
            "images",
            lambda row: row.update(uncertain_fraction=None),
            "uncertain_fraction is None, not",
        ),
        ("areas", lambda row: row.update(pixels=row["pixels"] + 1), "areas add up to"),
        ("areas", lambda row: row.update(class_id=2), "pixels are not those in areas"),
        (
            "areas",
            lambda row: row.update(mean_confidence=-1.0),
            "mean_confidence is -1.0, not 0 to",
        ),
        ("areas", lambda row: row.update(regions=0), "class ground: 0 regions of "),
        ("areas", lambda row: row.update(regions=9), "class ground: 9 regions, the mask has "),
        ("areas", lambda row: row.update(image_uri="/gone.png"), "/gone.png: has areas, but no"),
    ],
)
def test_labels_whose_tables_disagree(copy, table, change, problem):
    folder = copy("labels")
    _change_row(folder, table, change)
    assert any(problem in found for found in verify(folder)[1])


def _without_areas(record: Record) -> None:
    first = next(f for f in record["files"] if f["path"].startswith("areas/"))
    record["files"].remove(first)


def _more_adjusted(record: Record) -> None:
    record["adjusted_areas"]["classes"][0]["adjusted_pixels"] += 1000


def _narrower(record: Record) -> None:
    row = record["adjusted_areas"]["classes"][0]
    row["pixels_interval"][0] += 1


def _moved(record: Record) -> None:
    """Between classes, so that the sum stays."""
    one, other, *_ = record["adjusted_areas"]["classes"]
    one["adjusted_pixels"] += 1
    other["adjusted_pixels"] -= 1


def _gone(record: Record) -> None:
    record["adjusted_areas"]["reference"]["path"] += ".gone"
    _more_adjusted(record)


def _more_ground(record: Record) -> None:
    record["classes"][0]["pixels"] += 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_more_ground, "pixels of class ground"),
        (
            lambda record: record["certainty"].update(mean_entropy=0.5),
            "mean_entropy of all images: ",
        ),
        (_without_areas, "part files of areas: "),
        (_more_adjusted, "adjusted areas: classes is not what "),
        (_narrower, "adjusted areas: classes is not what "),
        (_moved, "adjusted areas: classes is not what "),
        (_gone, "pixels, the record says "),
        (
            lambda record: record["effective_images"].update(pixels=99.5),
            "effective_images is not what",
        ),
        (lambda record: record["inputs"].update(accepted=5), "images: "),
    ],
)
def test_a_run_that_claims_something_else(copy, change, problem):
    folder = copy("labels")
    _change_record(folder, change)
    assert any(problem in found for found in verify(folder)[1])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: record.update(mean_iou=0.99), "metrics.json: mean_iou is not what"),
        (lambda record: record["confusion_matrix"][0].__setitem__(1, 9), "confusion_matrix is not"),
        (lambda record: record.update(examples=3), "images: 8 found, the record says 3"),
    ],
)
def test_scores_that_the_images_do_not_give(copy, change, problem):
    folder = copy("evaluation")
    _change_record(folder, change)
    assert any(problem in found for found in verify(folder)[1])


def test_scores_of_another_machine_may_differ_in_their_last_digit(copy):
    folder = copy("evaluation")

    def round_otherwise(record: Record) -> None:
        record["mean_iou"] = math.nextafter(record["mean_iou"], 1)
        interval = record["intervals"]["mean_iou"]
        interval[0] = math.nextafter(interval[0], 0)

    _change_record(folder, round_otherwise)
    assert verify(folder) == ("evaluation", [])


def test_a_file_outside_the_folder_is_not_read(copy, tmp_path):
    (tmp_path / "secret").write_text("x")
    folder = copy("labels")

    def point_outside(record: Mapping[str, Any]) -> None:
        record["files"][0]["path"] = "../secret"

    _change_record(folder, point_outside)
    (found,) = verify(folder)[1]
    assert "its record lists '../secret', which lies outside the folder" in found


def test_a_record_of_another_shape_is_told_and_no_traceback(copy):
    folder = copy("evaluation")
    _record_path(folder).write_text(json.dumps([1]))
    (problem,) = verify(folder)[1]
    assert "metrics.json" in problem
