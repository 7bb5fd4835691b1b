"""Night after night: a collection that grows, changes and shrinks, and only that is labelled."""

import io
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rich.console import Console

from segflow.label.command import label
from segflow.label.config import LabelConfig
from segflow.verify import verify
from tests.bundles import write_bundle
from tests.drawn import LABELS, SIZE, decode, encode, rows_of, scene
from tests.programs import IN_MEMORY
from tests.requirements import shared_data
from tests.shown import shown_size


def _label(folder: Path, images: Path, max_reject_fraction: float = 0.0) -> Mapping[str, Any]:
    """Labels into `labels` of the folder; the run's record."""
    config = LabelConfig(
        model=str(folder / "model"),
        images=str(images),
        output=str(folder / "labels"),
        max_reject_fraction=max_reject_fraction,
    )
    record = label(config, [IN_MEMORY], Console(file=io.StringIO()))
    assert record is not None
    return record


def _draw(folder: Path, number: int, seed: int | None = None) -> Path:
    path = folder / f"{number:04d}.png"
    path.write_bytes(encode(scene(number if seed is None else seed)[0]))
    return path


def _run_of(output: Path) -> dict[str, str]:
    """The run of each current image, by its name."""
    with duckdb.connect() as connection:
        connection.execute((output / "current.sql").read_text(encoding="utf-8"))
        rows = connection.execute("SELECT image_uri, run FROM current_images").fetchall()
    return {Path(uri).name: run for uri, run in rows}


def test_of_655_images_the_60_that_are_new_or_changed_are_labelled(tmp_path):
    write_bundle(tmp_path / "model", LABELS, SIZE)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(600):
        _draw(images, number)
    first = _label(tmp_path, images)
    assert first["inputs"] == {"listed": 600, "accepted": 600, "rejected": 0, "by_code": {}}

    new = {_draw(images, number).name for number in range(600, 650)}
    changed = {_draw(images, number, seed=1000 + number).name for number in range(10)}
    for number in range(10):  # a clock may be too coarse to see a change so soon
        os.utime(images / f"{number:04d}.png", ns=(5, 5))
    removed = [images / f"{number:04d}.png" for number in range(595, 600)]
    for path in removed:
        path.unlink()
    second = _label(tmp_path, images)

    assert second["inputs"]["listed"] == second["inputs"]["accepted"] == 60
    assert second["gone"] == 5
    output = tmp_path / "labels"
    assert {row["image_uri"] for row in rows_of(output, "gone")} == set(map(str, removed))
    current = _run_of(output)
    assert len(current) == 600 + 50 - 5
    assert {name for name, run in current.items() if run == second["run"]} == new | changed
    assert verify(output) == ("labels", [])


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The labels of all shared photos and odd images, listed as one, and their paths."""
    folders = (shared_data("photos"), shared_data("odd_images"))
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    folder = tmp_path_factory.mktemp("collection")
    write_bundle(folder / "model", LABELS, SIZE)
    listing = folder / "list.jsonl"
    listing.write_text("\n".join(json.dumps({"image": str(path.resolve())}) for path in paths))
    _label(folder, listing, max_reject_fraction=1.0)
    return folder / "labels", paths


def test_of_a_real_collection_every_file_is_labelled_or_rejected(collection):
    output, paths = collection
    record = json.loads(next(output.glob("runs/*.json")).read_text())
    inputs = record["inputs"]
    labelled = [row["image_uri"] for row in rows_of(output, "images")]
    rejected = [row["image_uri"] for row in rows_of(output, "rejects")]

    assert inputs["listed"] == len(paths) == inputs["accepted"] + inputs["rejected"]
    assert len(labelled) == inputs["accepted"] > 900
    assert Counter(labelled + rejected) == Counter(str(path.resolve()) for path in paths)
    photos = str(shared_data("photos").resolve())
    assert not [uri for uri in rejected if uri.startswith(photos)]


def test_of_a_real_collection_masks_are_as_large_as_images_are_shown_and_areas_add_up(collection):
    output, _ = collection
    pixels: dict[str, Counter[int]] = defaultdict(Counter)
    for row in rows_of(output, "areas"):
        pixels[row["image_uri"]][row["class_id"]] += row["pixels"]

    for row in rows_of(output, "images"):
        uri, mask = row["image_uri"], decode(row["mask"])
        assert mask.shape == (row["height"], row["width"]) == shown_size(Path(uri)), uri
        assert pixels[uri] == Counter(mask.ravel().tolist()), uri
        assert pixels[uri].total() == row["height"] * row["width"], uri
