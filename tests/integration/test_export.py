"""Masks that go out to a labelling tool come back through ingest with the same ids."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks
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


def _correct(form: str, tree: Path, name: str, ids: np.ndarray) -> None:
    """Stores other ids for `sub/b c.png`, as a tool of that format does; `name` is its mask's."""
    if form == "coco":
        _correct_coco(tree / "annotations" / "instances_default.json", ids)
        return
    path = tree / name
    colours = LABELS.palette()
    assert path.is_file()
    if form == "cvat":
        Image.fromarray(colours[ids]).save(path)
        return
    mask = Image.fromarray(ids)
    if form == "voc":
        mask.putpalette(colours.tobytes())
    mask.save(path)


def _correct_coco(path: Path, ids: np.ndarray) -> None:
    data = json.loads(path.read_bytes())
    (image,) = [image for image in data["images"] if image["file_name"].endswith("b_c.png")]
    kept = [a for a in data["annotations"] if a["image_id"] != image["id"]]
    new = []
    for value in np.unique(ids).tolist():
        encoded = coco_masks.encode(np.asfortranarray(ids == value))
        new.append(
            {
                "id": 1000 + value,
                "image_id": image["id"],
                "category_id": value + 1,
                "iscrowd": 0,
                "area": int(coco_masks.area(encoded)),
                "bbox": coco_masks.toBbox(encoded).tolist(),
                "segmentation": {**encoded, "counts": encoded["counts"].decode()},
            }
        )
    path.write_text(json.dumps({**data, "annotations": kept + new}))


@pytest.mark.parametrize("form", ["png", "coco", "voc", "cvat"])
def test_a_corrected_mask_comes_back_corrected(labels, drawn, tmp_path, capfd, monkeypatch, form):
    monkeypatch.undo()
    tree, output = tmp_path / "tree", tmp_path / "dataset"
    _export(labels, form, tree)
    (uri,) = [uri for uri in drawn if uri.endswith("sub/b c.png")]
    corrected = (drawn[uri] + 1) % 3
    folder = "masks" if form == "png" else "SegmentationClass"
    _correct(form, tree, f"{folder}/sub/b_c.png", corrected)

    ran = run_here(capfd, "ingest", *_flags(form, tree), *INGEST, f"--output={output}")

    assert (ran.code, ran.errors) == (0, [])
    counts = {row["image_sha256"]: row["class_pixels"] for row in rows_of(output, "index")}
    expected = {**drawn, uri: corrected}
    assert counts == {
        hashing.sha256_file(uri): np.bincount(ids.ravel(), minlength=3).tolist()
        for uri, ids in expected.items()
    }
