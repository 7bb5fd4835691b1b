"""Exported masks against those that were drawn, read as other programs read them."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from segflow.data import mask_formats
from segflow.errors import JobError
from segflow.label_map import LabelMap
from tests.unit.export.exported import export_to, files, numbers, pixels, save
from tests.unit.label.batches import LABELS

# Of pycocotools, which decodes through an array of the old kind.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_png_masks_hold_the_ids_that_were_drawn(labels, drawn, tmp_path, mask_format):
    labels.label(mask_format=mask_format)

    record = export_to(tmp_path / "out", labels, "png", color_masks=True)

    names = {"a", "b", "sub/a", "sub/deep/c_d", "e"}
    assert files(tmp_path / "out") == {
        *(f"{folder}/{name}.png" for name in names for folder in ("masks", "color_masks")),
        *("labels.json", "manifest.jsonl", "export.json"),
    }
    assert (record["images"], record["left_out"]) == (5, {})
    colors = LabelMap.load(tmp_path / "out" / "labels.json").palette()
    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 5
    for row in map(json.loads, lines):
        ids = drawn[labels.name(row["image"])]
        mask = pixels(tmp_path / "out" / row["mask"])
        assert (mask.dtype, mask.tolist()) == (np.uint8, ids.tolist())
        in_color = pixels(tmp_path / "out" / "color_masks" / f"{row['key']}.png")
        assert np.array_equal(in_color, colors[ids])


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_giants_masks_are_read_by_rows(labels, drawn, tmp_path, mask_format, monkeypatch):
    labels.label(mask_format=mask_format)
    monkeypatch.setattr(mask_formats, "LARGEST_DECODED", 1)
    monkeypatch.setattr(mask_formats, "_PIXELS_AT_ONCE", 8)
    monkeypatch.setattr(mask_formats, "decode", None)

    export_to(tmp_path / "out", labels, "png")

    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 5
    for row in map(json.loads, lines):
        mask = pixels(tmp_path / "out" / row["mask"])
        assert np.array_equal(mask, drawn[labels.name(row["image"])])


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_pycocotools_reads_the_masks_that_were_drawn(labels, drawn, tmp_path, mask_format):
    labels.label(mask_format=mask_format)
    export_to(tmp_path / "out", labels, "coco")

    coco = COCO(tmp_path / "out" / "annotations" / "instances_default.json")

    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(LABELS.names)
    assert len(coco.getImgIds()) == 5
    assert min(coco.getImgIds() + coco.getAnnIds() + coco.getCatIds()) == 1
    for image in coco.loadImgs(coco.getImgIds()):
        ids = drawn[labels.name(image["image_uri"])]
        assert (image["height"], image["width"]) == ids.shape
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        found = np.full(ids.shape, 99)
        for annotation in annotations:
            where = coco.annToMask(annotation) == 1
            assert (found[where] == 99).all()
            found[where] = annotation["category_id"] - 1
            assert (annotation["area"], annotation["iscrowd"]) == (where.sum(), 0)
            down, along = np.nonzero(where)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (along.min(), down.min())
            assert (left + width, top + height) == (along.max() + 1, down.max() + 1)
        assert np.array_equal(found, ids)
    assert len(coco.getAnnIds()) == sum(len(np.unique(ids)) for ids in drawn.values())


def test_voc_and_cvat_hold_palette_and_colours(labels, drawn, tmp_path):
    labels.label()
    for form in ("voc", "cvat"):
        export_to(tmp_path / form, labels, form)
        listed = tmp_path / form / "ImageSets" / "Segmentation" / "default.txt"
        assert sorted(listed.read_text().splitlines()) == ["a", "b", "e", "sub/a", "sub/deep/c_d"]
    label_map = LabelMap.load(tmp_path / "cvat" / "labelmap.txt")
    assert label_map.names == LABELS.names
    ids = drawn["sub/a.png"]
    with Image.open(tmp_path / "voc" / "SegmentationClass" / "sub" / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), ids)
        assert np.array_equal(np.asarray(image.convert("RGB")), label_map.palette()[ids])
    in_color = pixels(tmp_path / "cvat" / "SegmentationClass" / "sub" / "a.png")
    assert np.array_equal(in_color, label_map.palette()[ids])


def test_numbers_and_names_stay_when_images_come_and_change(labels, drawn, tmp_path):
    labels.label()
    export_to(tmp_path / "one", labels, "coco")
    save(labels.images / "b.png", drawn["a.png"])
    save(labels.images / "0.png", drawn["a.png"])
    (labels.images / "e.png").unlink()
    labels.label()

    export_to(tmp_path / "two", labels, "coco")

    before, after = numbers(tmp_path / "one"), numbers(tmp_path / "two")
    assert set(after) == set(before) - {"e.png"} | {"0.png"}
    assert {name: after[name] for name in set(before) - {"e.png"}}.items() <= before.items()
    assert after["0.png"] not in before.values()


def test_hostile_names_stay_inside_and_apart(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sync", lambda: None)
    names = ["x/a.png", "x/a.bmp", "X/A.gif", "a b.png", "a\nb.png", "..png", "a.png/a.png", "a"]
    names += [
        "-a.png",
        "é.png",
        "e\u0301.png",
        "%2e%2e.png",
        "s" * 240 + ".png",
        "s" * 239 + ".png",
    ]
    drawn = {}
    for number, name in enumerate(names):
        path = labels.images / name
        drawn[str(path)] = np.full((2, 3 + number), number % 3, np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(np.stack([drawn[str(path)]] * 3, axis=-1)).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
    labels.label()
    outside = files(tmp_path)

    listed = len(labels.current("height"))
    assert listed >= len(names) - 1  # `..png` is hidden
    export_to(tmp_path / "out" / "voc", labels, "voc", copy_images=True)

    lines = (tmp_path / "out" / "voc" / "manifest.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert len({row["mask"].casefold() for row in written}) == len(written) == listed
    for row in written:
        ids = drawn[row["image_uri"]]
        assert np.array_equal(pixels(tmp_path / "out" / "voc" / row["mask"]), ids)
        copy = tmp_path / "out" / "voc" / row["image"]
        assert copy.read_bytes() == Path(row["image_uri"]).read_bytes()
    assert {name for name in files(tmp_path) if not name.startswith("out/voc/")} == outside


def test_copies_are_of_what_was_labelled(labels, drawn, tmp_path):
    labels.label()
    (labels.images / "a.png").unlink()
    save(labels.images / "b.png", drawn["a.png"])

    record = export_to(tmp_path / "out", labels, "coco", copy_images=True)

    assert record["left_out"] == {"missing_image": 1, "source_changed": 1}
    lines = (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()
    left_out = {labels.name(row["image_uri"]): row["code"] for row in map(json.loads, lines)}
    assert left_out == {"a.png": "missing_image", "b.png": "source_changed"}
    coco = COCO(tmp_path / "out" / "annotations" / "instances_default.json")
    assert len(coco.imgs) == record["images"] == 3
    for image in coco.imgs.values():
        copy = tmp_path / "out" / "images" / image["file_name"]
        assert copy.read_bytes() == Path(image["image_uri"]).read_bytes()
    assert len(files(tmp_path / "out" / "images")) == 3


def test_links_take_no_room(labels, drawn, tmp_path):
    labels.label()
    export_to(tmp_path / "out", labels, "voc", link_images=True)
    assert (tmp_path / "out" / "JPEGImages" / "a.png").samefile(labels.images / "a.png")


def test_where_all_images_are_gone_nothing_is_written(labels, drawn, tmp_path):
    labels.label()
    for name in drawn:
        (labels.images / name).unlink()
    with pytest.raises(JobError, match="all 5 images are gone or have changed"):
        export_to(tmp_path / "out", labels, "png", copy_images=True)
    assert not (tmp_path / "out").exists()
