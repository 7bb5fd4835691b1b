"""Masks that go out to a labelling tool come back through ingest with the same ids."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from segflow import hashing
from segflow.data.records import decode_example, read_frames
from segflow.dataset import Dataset
from segflow.export.command import export
from segflow.export.config import ExportConfig
from tests.drawn import decode, encode, rows_of
from tests.programs import run_here
from tests.unit.label.batches import LABELS, Labels
from tests.unit.label.conftest import labels

__all__ = ["labels"]

SIZE = (6, 9)
INGEST = ("--image-size=6x9", "--splits=train=1", "--seed=3")


@pytest.fixture
def drawn(labels: Labels) -> dict[str, np.ndarray]:
    """Masks of three classes by the image's address; two images have one stem."""
    random = np.random.default_rng(5)
    found = {}
    for name in ("a.png", "a.bmp", "sub/b c.png"):
        ids = random.integers(0, 3, SIZE, dtype=np.uint8)
        path = labels.images / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(np.stack([ids, 9 * ids, ids + 50], axis=-1)))
        found[str(path)] = ids
    labels.label()
    return found


def _export(labels: Labels, form: str, output: Path) -> None:
    config = ExportConfig(
        labels=str(labels.output), format=form, output=str(output), copy_images=True
    )
    export(config, Console(file=io.StringIO()))


def _flags(form: str, tree: Path) -> list[str]:
    """What `segflow ingest` needs to read a tree; docs/export.md names the same."""
    return {
        "png": [f"--images={tree}/manifest.jsonl", f"--label-map={tree}/labels.json"],
        "coco": [f"--images={tree}", f"--label-map={tree}/labels.json"],
        "voc": [f"--images={tree}", "--layout=voc"],
        "cvat": [f"--images={tree}", "--layout=cvat"],
    }[form]


@pytest.mark.parametrize("form", ["png", "coco", "voc", "cvat"])
def test_label_export_ingest_gives_the_same_ids(labels, drawn, tmp_path, capfd, monkeypatch, form):
    monkeypatch.undo()  # from here on Beam works
    tree, output = tmp_path / "tree", tmp_path / "dataset"
    _export(labels, form, tree)

    ran = run_here(capfd, "ingest", *_flags(form, tree), *INGEST, f"--output={output}")

    assert (ran.code, ran.errors) == (0, [])
    dataset = Dataset.load(output)
    assert dataset.label_map.names == LABELS.names
    by_hash = {hashing.sha256_file(uri): ids for uri, ids in drawn.items()}
    shards = {
        shard.file: [decode_example(frame) for frame in read_frames(output / shard.file)]
        for shard in dataset.splits["train"].shards
    }
    index = rows_of(output, "index")
    assert len(index) == len(drawn) == 3
    for row in index:
        stored = decode(shards[row["shard"]][row["position"]].mask)
        assert np.array_equal(stored, by_hash[row["image_sha256"]])
        assert row["ignored_pixels"] == 0


def test_a_corrected_mask_comes_back_corrected(labels, drawn, tmp_path, capfd, monkeypatch):
    monkeypatch.undo()
    tree, output = tmp_path / "tree", tmp_path / "dataset"
    _export(labels, "png", tree)
    first = json.loads((tree / "manifest.jsonl").read_text().splitlines()[0])
    corrected = (drawn[first["image_uri"]] + 1) % 3
    Image.fromarray(corrected).save(tree / first["mask"])

    ran = run_here(capfd, "ingest", *_flags("png", tree), *INGEST, f"--output={output}")

    assert (ran.code, ran.errors) == (0, [])
    (row,) = [row for row in rows_of(output, "index") if row["key"] == first["key"]]
    counts = np.bincount(corrected.ravel(), minlength=3)
    assert row["class_pixels"] == counts.tolist()
