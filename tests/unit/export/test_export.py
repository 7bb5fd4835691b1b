"""Exported masks against those that were drawn, read as other programs read them."""

import dataclasses
import io
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO
from rich.console import Console

from pipelines.export import main
from segflow.errors import JobError, UsageError
from segflow.export import command, rows
from segflow.export.command import export
from segflow.export.config import ExportConfig
from segflow.label_map import LabelMap
from segflow.lock import lock
from tests.unit.label.batches import LABELS, Labels

# Of pycocotools, which decodes through an array of the old kind.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")

QUIET = Console(file=io.StringIO())

Drawn = dict[str, np.ndarray]


def _save(path: Path, ids: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ids, ids * 0, ids * 0], axis=-1)).save(path)


@pytest.fixture
def drawn(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Masks by the image's path; three classes, the sizes differ; a few are read at a time."""
    monkeypatch.setattr(rows, "_MASKS_AT_ONCE", 2)
    monkeypatch.setattr(os, "sync", lambda: None)
    random = np.random.default_rng(3)
    found = {}
    for number, name in enumerate(("a.png", "b.png", "sub/a.png", "sub/deep/c d.png", "e.png")):
        found[name] = random.integers(0, 3, (4 + number, 7), dtype=np.uint8)
        _save(labels.images / name, found[name])
    return found


def _export(made: Labels, form: str, output: Path, **options: Any) -> Mapping[str, Any]:
    options = {"labels": str(made.output), "format": form, "output": str(output), **options}
    return export(ExportConfig(**options), QUIET)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_png_masks_hold_the_ids_that_were_drawn(labels, drawn, tmp_path, mask_format):
    labels.label(mask_format=mask_format)

    record = _export(labels, "png", tmp_path / "out", color_masks=True)

    names = {"a", "b", "sub/a", "sub/deep/c_d", "e"}
    assert _files(tmp_path / "out") == {
        *(f"{folder}/{name}.png" for name in names for folder in ("masks", "color_masks")),
        *("labels.json", "manifest.jsonl", "export.json"),
    }
    assert (record["images"], record["left_out"]) == (5, {})
    colors = LabelMap.load(tmp_path / "out" / "labels.json").palette()
    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 5
    for row in map(json.loads, lines):
        ids = drawn[labels.name(row["image"])]
        mask = _pixels(tmp_path / "out" / row["mask"])
        assert (mask.dtype, mask.tolist()) == (np.uint8, ids.tolist())
        in_color = _pixels(tmp_path / "out" / "color_masks" / f"{row['key']}.png")
        assert np.array_equal(in_color, colors[ids])


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_pycocotools_reads_the_masks_that_were_drawn(labels, drawn, tmp_path, mask_format):
    labels.label(mask_format=mask_format)
    _export(labels, "coco", tmp_path / "out")

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
        _export(labels, form, tmp_path / form)
        listed = tmp_path / form / "ImageSets" / "Segmentation" / "default.txt"
        assert sorted(listed.read_text().splitlines()) == ["a", "b", "e", "sub/a", "sub/deep/c_d"]
    label_map = LabelMap.load(tmp_path / "cvat" / "labelmap.txt")
    assert label_map.names == LABELS.names
    ids = drawn["sub/a.png"]
    with Image.open(tmp_path / "voc" / "SegmentationClass" / "sub" / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), ids)
        assert np.array_equal(np.asarray(image.convert("RGB")), label_map.palette()[ids])
    in_color = _pixels(tmp_path / "cvat" / "SegmentationClass" / "sub" / "a.png")
    assert np.array_equal(in_color, label_map.palette()[ids])


def _ids(folder: Path) -> dict[str, int]:
    data = json.loads((folder / "annotations" / "instances_default.json").read_bytes())
    counts = Counter(a["id"] for a in data["annotations"])
    assert set(counts.values()) == {1}
    return {image["file_name"]: image["id"] for image in data["images"]}


def test_numbers_and_names_stay_when_images_come_and_change(labels, drawn, tmp_path):
    labels.label()
    _export(labels, "coco", tmp_path / "one")
    _save(labels.images / "b.png", drawn["a.png"])
    _save(labels.images / "0.png", drawn["a.png"])
    (labels.images / "e.png").unlink()
    labels.label()

    _export(labels, "coco", tmp_path / "two")

    before, after = _ids(tmp_path / "one"), _ids(tmp_path / "two")
    assert set(after) == set(before) - {"e.png"} | {"0.png"}
    assert {name: after[name] for name in set(before) - {"e.png"}}.items() <= before.items()
    assert after["0.png"] not in before.values()


def test_what_holds_now_is_exported_or_what_one_run_wrote(labels, drawn, tmp_path):
    first = labels.label()
    _save(labels.images / "b.png", drawn["e.png"])
    (labels.images / "e.png").unlink()
    labels.label()

    _export(labels, "png", tmp_path / "now")
    _export(labels, "png", tmp_path / "first", run=first["run"])
    address = str(labels.output / "runs" / f"{first['run']}.json")
    _export(labels, "png", tmp_path / "same", labels=address)

    assert not (tmp_path / "now" / "masks" / "e.png").exists()
    assert np.array_equal(_pixels(tmp_path / "now" / "masks" / "b.png"), drawn["e.png"])
    for folder in (tmp_path / "first", tmp_path / "same"):
        assert np.array_equal(_pixels(folder / "masks" / "b.png"), drawn["b.png"])
        assert len(_files(folder / "masks")) == 5
    with pytest.raises(UsageError, match="no run 'x' is committed"):
        _export(labels, "png", tmp_path / "other", run="x")


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
    outside = _files(tmp_path)

    listed = len(labels.current("height"))
    assert listed >= len(names) - 1  # `..png` is hidden
    _export(labels, "voc", tmp_path / "out" / "voc", copy_images=True)

    lines = (tmp_path / "out" / "voc" / "manifest.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert len({row["mask"].casefold() for row in written}) == len(written) == listed
    for row in written:
        ids = drawn[row["image_uri"]]
        assert np.array_equal(_pixels(tmp_path / "out" / "voc" / row["mask"]), ids)
        copy = tmp_path / "out" / "voc" / row["image"]
        assert copy.read_bytes() == Path(row["image_uri"]).read_bytes()
    assert {name for name in _files(tmp_path) if not name.startswith("out/voc/")} == outside


def test_copies_are_of_what_was_labelled(labels, drawn, tmp_path):
    labels.label()
    (labels.images / "a.png").unlink()
    _save(labels.images / "b.png", drawn["a.png"])

    record = _export(labels, "coco", tmp_path / "out", copy_images=True)

    assert record["left_out"] == {"missing_image": 1, "source_changed": 1}
    lines = (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()
    left_out = {labels.name(row["image_uri"]): row["code"] for row in map(json.loads, lines)}
    assert left_out == {"a.png": "missing_image", "b.png": "source_changed"}
    coco = COCO(tmp_path / "out" / "annotations" / "instances_default.json")
    assert len(coco.imgs) == record["images"] == 3
    for image in coco.imgs.values():
        copy = tmp_path / "out" / "images" / image["file_name"]
        assert copy.read_bytes() == Path(image["image_uri"]).read_bytes()
    assert len(_files(tmp_path / "out" / "images")) == 3


def test_links_take_no_room(labels, drawn, tmp_path):
    labels.label()
    _export(labels, "voc", tmp_path / "out", link_images=True)
    assert (tmp_path / "out" / "JPEGImages" / "a.png").samefile(labels.images / "a.png")


def test_where_all_images_are_gone_nothing_is_written(labels, drawn, tmp_path):
    labels.label()
    for name in drawn:
        (labels.images / name).unlink()
    with pytest.raises(JobError, match="all 5 images are gone or have changed"):
        _export(labels, "png", tmp_path / "out", copy_images=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_list_chooses_and_changes_no_name(labels, drawn, tmp_path, suffix):
    labels.label()
    path = (labels.images / "list").with_suffix(suffix)
    entries = [str(labels.images / "sub/a.png"), "e.png", "nowhere.png"]
    if suffix == ".jsonl":
        path.write_text("".join(f'{{"image": "{e}", "x": {i}}}\n' for i, e in enumerate(entries)))
    else:
        table = pa.table({"rank": [1, 2, 3], "image_uri": entries})
        write = pq.write_table if suffix == ".parquet" else pyarrow.csv.write_csv
        write(table, path)
    _export(labels, "coco", tmp_path / "all")

    record = _export(labels, "coco", tmp_path / "some", images_from=str(path))

    assert record["images"] == 2
    some, every = _ids(tmp_path / "some"), _ids(tmp_path / "all")
    assert set(some) == {"sub/a.png", "e.png"}
    assert some.items() <= every.items()


def test_the_newest_review_list_chooses(labels, drawn, tmp_path):
    first = labels.label()
    _save(labels.images / "new.png", drawn["a.png"])
    second = labels.label()
    with pytest.raises(UsageError, match="holds no review list"):
        _export(labels, "coco", tmp_path / "out", review_only=True)

    for record, name in ((first, "a.png"), (second, "new.png")):
        path = labels.output / "review" / f"run={record['run']}" / "review.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f'rank,image_uri,reason\n1,{labels.images / name},"odd, and dark"\n')
        _export(labels, "coco", tmp_path / name, review_only=True)
        assert set(_ids(tmp_path / name)) == {name}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.txt", "a.png", "expected a file, LIST.csv, .jsonl or .parquet"),
        ("list.csv", None, "expected a file, LIST.csv, .jsonl or .parquet"),
        ("list.csv", "picture\na.png\n", "expected a column image_uri or image, found picture"),
        ("list.csv", "image\nb.jpg\n", "names no image that is labelled here"),
        ("list.parquet", "no parquet", "cannot be read: "),
    ],
)
def test_a_list_that_is_none_costs_one_line(labels, drawn, tmp_path, name, text, message):
    labels.label()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        _export(labels, "png", tmp_path / "out", images_from=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_a_second_run_finds_it_complete_or_is_refused(labels, drawn, tmp_path, capfd):
    labels.label()
    words = [str(labels.output), "--format=png", f"--output={tmp_path / 'out'}"]
    assert main(words) == 0
    assert "out: 5 masks (png)" in capfd.readouterr().out
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}

    assert main(words) == 0
    assert "complete already, nothing left to do" in capfd.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before
    assert main([*words, "--color-masks"]) == 2
    assert "of other settings: color_masks is False there and True here" in capfd.readouterr().err
    _save(labels.images / "new.png", drawn["a.png"])
    labels.label()
    assert main(words) == 2
    assert "of other settings: runs is" in capfd.readouterr().err


def test_other_peoples_folders_are_left_alone(labels, drawn, tmp_path):
    labels.label()
    (tmp_path / "mine" / "masks").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"is not empty and holds no finished output .*'masks'"):
        _export(labels, "png", tmp_path / "mine")
    with pytest.raises(UsageError, match="where it would be taken for an input"):
        _export(labels, "png", labels.images / "out")
    with lock(tmp_path / "busy", "_export"), pytest.raises(UsageError, match="is at work there"):
        _export(labels, "png", tmp_path / "busy")
    assert _files(tmp_path / "mine") == set()


def test_what_fails_leaves_nothing_and_what_a_kill_left_is_replaced(
    labels, drawn, tmp_path, monkeypatch
):
    labels.label()
    whole = _files_of_export(labels, tmp_path / "whole")

    def fail(*_: object) -> None:
        raise OSError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(command.storage, "put", fail)
        with pytest.raises(OSError, match="pulled the plug"):
            _export(labels, "png", tmp_path / "out")
    assert not (tmp_path / "out").exists()

    # As a kill in the midst of publishing leaves it.
    stale = tmp_path / "out" / "_export" / "work" / "tree" / "masks"
    stale.mkdir(parents=True)
    (stale / "stale.png").touch()
    (tmp_path / "out" / "masks").mkdir()
    (tmp_path / "out" / "masks" / "stale.png").touch()
    assert _files_of_export(labels, tmp_path / "out") == whole


def _files_of_export(labels: Labels, output: Path) -> dict[str, bytes]:
    _export(labels, "png", output)
    return {name: (output / name).read_bytes() for name in _files(output)}


def test_labels_without_masks_cannot_be_exported(labels, drawn, tmp_path, capsys):
    bare = dataclasses.replace(labels, output=tmp_path / "bare")
    bare.label(mask_format="none")
    assert main([str(bare.output), "--format=coco", f"--output={tmp_path / 'out'}"]) == 2
    assert "labelled with --mask-format none, so there are no masks" in capsys.readouterr().err
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="expected"):
            _export(labels, "png", tmp_path / "out", labels=str(path))


def test_a_damaged_mask_costs_one_line_and_leaves_nothing(labels, drawn, tmp_path):
    labels.label()
    part = next(labels.output.glob("images/run=*/part-*.parquet"))
    table = pq.ParquetFile(part).read()
    masks = pa.array([b"\x89PNG broken"] * len(table), pa.binary())
    index = table.column_names.index("mask")
    pq.write_table(table.set_column(index, table.schema.field("mask"), masks), part)
    with pytest.raises(JobError, match=r"its mask in .* is damaged"):
        _export(labels, "png", tmp_path / "out")
    part.write_bytes(b"PAR1 broken")
    with pytest.raises((JobError, UsageError)):
        _export(labels, "png", tmp_path / "out")
    part.unlink()
    with pytest.raises(UsageError, match="gone, though a record lists it"):
        _export(labels, "png", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_that_exclude_each_other():
    base = {"labels": "l", "output": "o"}
    with pytest.raises(UsageError, match="--copy-images and --link-images exclude each other"):
        ExportConfig(**base, format="png", copy_images=True, link_images=True)
    with pytest.raises(UsageError, match="--review-only is a list of its own"):
        ExportConfig(**base, format="png", review_only=True, images_from="list.csv")
    with pytest.raises(UsageError, match="--color-masks is for --format png, found voc"):
        ExportConfig(**base, format="voc", color_masks=True)
