"""Bad input to ingest that is found before any work: code 2, one line, and nothing written."""

import json
from pathlib import Path

import numpy as np
import pytest

from segflow.label_map import LabelClass, LabelMap
from tests.drawn import LABELS, Pairs, decode, encode, rows_of
from tests.programs import run_here


@pytest.fixture
def pairs(tmp_path):
    return Pairs(tmp_path / "data", count=2)


@pytest.fixture
def refusal(tmp_path, capfd):
    """Runs an ingest that must end with code 2, one line, and nothing written."""

    def run(pairs: Pairs, output: Path | None = None, **changes: object) -> str:
        target = output or tmp_path / "out"
        ran = run_here(capfd, "ingest", *pairs.flags(target, **changes))
        assert ran.code == 2
        assert output or not target.exists()
        return ran.line.removeprefix("segflow ingest: ")

    return run


@pytest.mark.parametrize("flag", ["images", "masks"])
def test_a_folder_that_does_not_exist(pairs, refusal, flag):
    missing = pairs.folder / "nowhere"
    line = refusal(pairs, **{flag: missing})
    assert line == f"--{flag} {missing}: no such folder; expected a folder or a glob"


@pytest.mark.parametrize("flag", ["images", "masks"])
def test_a_file_in_place_of_a_folder(pairs, refusal, flag):
    line = refusal(pairs, **{flag: pairs.label_map})
    assert line == f"--{flag} {pairs.label_map}: is a file; expected a folder or a glob"


@pytest.mark.parametrize("flag", ["images", "masks"])
def test_an_empty_folder(pairs, refusal, flag):
    empty = pairs.folder / "empty"
    empty.mkdir()
    line = refusal(pairs, **{flag: empty})
    assert line.startswith(f"--{flag} {empty}: no {flag} found; expected at least one")


def test_a_glob_that_matches_nothing(pairs, refusal):
    line = refusal(pairs, images=f"{pairs.images}/*.tif")
    assert line.startswith(f"--images {pairs.images}/*.tif: no images found; expected at least one")


def test_images_without_masks(pairs, refusal):
    line = refusal(pairs, masks=None)
    assert "give --masks for pairs of files, or --layout (paired, camvid, voc, " in line
    assert line.endswith(
        "voc, cityscapes, ade20k, coco, cvat, labelme, manifest, tar, parquet, tfrecord)"
    )


def test_no_mask_has_the_stem_of_an_image(pairs, refusal):
    for path in list(pairs.masks.iterdir()):
        path.rename(path.with_stem(f"{path.stem}_mask"))
    line = refusal(pairs)
    assert (
        "no image and mask share a stem; the closest pairs are 'pair-0' and 'pair-0_mask'" in line
    )
    assert "; 'pair-1' and 'pair-1_mask'; give --mask-pattern '(.+)_mask', or globs" in line


def _write_label_map(pairs: Pairs, *classes: dict[str, object]) -> None:
    pairs.label_map.write_text(json.dumps({"classes": classes}))


def test_a_label_map_with_a_repeated_id(pairs, refusal):
    _write_label_map(pairs, {"id": 0, "name": "ground"}, {"id": 0, "name": "disc"})
    line = refusal(pairs)
    assert line == f"{pairs.label_map}: the id 0 is used twice; make it unique"


def test_a_label_map_that_is_none(pairs, refusal):
    assert "cannot be read" in refusal(pairs, label_map=pairs.folder / "nowhere.json")
    pairs.label_map.write_text("{")
    assert "not valid JSON or YAML" in refusal(pairs)


def test_a_label_map_without_the_colours_that_the_masks_have(pairs, refusal):
    for path in pairs.masks.iterdir():
        path.write_bytes(encode(LABELS.palette()[np.minimum(decode(path.read_bytes()), 2)]))
    _write_label_map(pairs, {"id": 0, "name": "ground"}, {"id": 1, "name": "disc"})
    line = refusal(pairs)
    assert line.startswith(f"{pairs.label_map}: the masks are colour-coded")
    assert "rgb(60,80,220), rgb(60,90,60), rgb(210,70,60)" in line
    assert "add [r, g, b] to each" in line


def test_without_a_label_map_a_draft_is_printed_that_works(pairs, refusal, tmp_path, capfd):
    line = refusal(pairs, label_map=None)
    assert "hold the values 0, 1, 2, 255" in line
    draft = line.partition("A draft: ")[2]
    pairs.label_map.write_text(draft)
    assert run_here(capfd, "ingest", *pairs.flags(tmp_path / "out")).code == 0
    assert rows_of(tmp_path / "out", "rejects") == []


def test_an_output_that_is_a_file(pairs, refusal):
    line = refusal(pairs, output=pairs.label_map)
    assert line == f"--output {pairs.label_map}: is a file; expected a folder or nothing"


def test_an_output_that_holds_other_files(pairs, refusal):
    output = pairs.folder / "notes"
    output.mkdir()
    (output / "letter.txt").touch()
    line = refusal(pairs, output=output)
    assert "is not empty" in line
    assert "'letter.txt' lies there); choose another folder" in line
    assert [path.name for path in output.iterdir()] == ["letter.txt"]


def test_an_output_inside_the_images(pairs, refusal):
    line = refusal(pairs, output=pairs.images / "dataset")
    assert "lies in --images" in line
    assert "choose a folder outside" in line
    assert not (pairs.images / "dataset").exists()


def test_an_output_that_holds_another_dataset(pairs, refusal, tmp_path, capfd):
    output = tmp_path / "out"
    flags = pairs.flags(output)
    assert run_here(capfd, "ingest", *flags).code == 0
    before = {path: path.stat() for path in output.rglob("*") if path.name != "report.html"}

    assert run_here(capfd, "ingest", *flags).code == 0  # the same again: nothing left to do
    line = refusal(pairs, output, image_size="8x8")
    assert line == (
        f"--output {output}: its dataset.json is of other settings: image_size is 16x24 there and "
        "8x8 here; choose another folder"
    )
    line = refusal(pairs, output, **{"augmentation.rotation": 5})
    assert "augmentation.rotation is 10.0 there and 5.0 here" in line
    classes = (*LABELS.classes[:2], LabelClass(2, "pole", (1, 2, 3)))
    pairs.label_map.write_text(json.dumps(LabelMap(classes).to_dict()))
    line = refusal(pairs, output)
    assert "label_map.classes is " in line
    assert len(line) < 500
    pairs.label_map.write_text(json.dumps(LABELS.to_dict()))
    pairs.add("one-more")
    line = refusal(pairs, output)
    assert "is complete, but its source files have changed since, or others are there" in line

    after = {path: path.stat() for path in output.rglob("*") if path.name != "report.html"}
    assert {p: s.st_mtime_ns for p, s in before.items()} == {
        p: s.st_mtime_ns for p, s in after.items()
    }
