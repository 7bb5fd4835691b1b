import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from segflow.drawing import LABEL_MAP, draw_collection, draw_dataset
from segflow.errors import RejectCode, UsageError
from segflow.label_map import LabelMap


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _ids(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_pairs_have_equal_stems_and_sizes_and_masks_hold_class_ids(tmp_path):
    drawn = draw_dataset(tmp_path, examples=8, size=(32, 40), broken=False)

    images, masks = sorted(drawn.images.iterdir()), sorted(drawn.masks.iterdir())
    assert [p.stem for p in images] == [p.stem for p in masks]
    assert len(images) == drawn.examples == 8
    assert {p.suffix for p in images} == {".jpg", ".png"}
    for image, mask in zip(images, masks, strict=True):
        assert Image.open(image).size == Image.open(mask).size == (40, 32)
        assert set(np.unique(_ids(mask))) <= {*range(LABEL_MAP.num_classes), 255}


def test_the_label_map_reads_back_and_the_palette_shows_its_colours(tmp_path):
    drawn = draw_dataset(tmp_path, examples=1, size=(32, 40), broken=False)

    assert LabelMap.load(drawn.label_map) == LABEL_MAP
    mask = next(drawn.masks.iterdir())
    shown = np.asarray(Image.open(mask).convert("RGB"))
    ids = _ids(mask)
    np.testing.assert_array_equal(shown[ids == 0][0], LABEL_MAP.palette()[0])


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw_dataset(tmp_path / name, examples=3, size=(32, 40), seed=seed)

    assert _hashes(tmp_path / "a") == _hashes(tmp_path / "b")
    assert _hashes(tmp_path / "a") != _hashes(tmp_path / "c")


def test_a_repeated_drawing_leaves_its_files_untouched(tmp_path):
    draw_dataset(tmp_path, examples=2, size=(32, 40))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    draw_dataset(tmp_path, examples=2, size=(32, 40))

    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_torn_file_is_drawn_again(tmp_path):
    drawn = draw_dataset(tmp_path, examples=2, size=(32, 40))
    whole = _hashes(tmp_path)
    victim = next(drawn.images.glob("scene-*"))
    victim.write_bytes(victim.read_bytes()[:100])
    draw_dataset(tmp_path, examples=2, size=(32, 40))

    assert _hashes(tmp_path) == whole


def test_a_folder_with_other_files_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "holiday.jpg").write_bytes(b"mine")

    with pytest.raises(UsageError, match=r"holiday\.jpg.*choose another folder"):
        draw_dataset(tmp_path, examples=2, size=(32, 40))

    assert _hashes(tmp_path).keys() == {"images/holiday.jpg"}


def test_broken_pairs_are_broken_in_the_way_their_code_says(tmp_path):
    drawn = draw_dataset(tmp_path, examples=1, size=(32, 40))
    images, masks = drawn.images, drawn.masks

    assert set(drawn.broken.values()) == {
        RejectCode.UNREADABLE,
        RejectCode.MISSING_IMAGE,
        RejectCode.MISSING_MASK,
        RejectCode.UNKNOWN_LABEL,
        RejectCode.LOSSY_MASK,
        RejectCode.SIZE_MISMATCH,
    }
    with pytest.raises(OSError, match="truncated"):
        Image.open(images / "broken-cut-off.png").load()
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(images / "broken-text.jpg")
    assert not list(masks.glob("broken-no-mask.*"))
    assert not list(images.glob("broken-no-image.*"))
    assert 77 in _ids(masks / "broken-unknown-label.png")
    assert Image.open(masks / "broken-jpeg-mask.jpg").format == "JPEG"
    assert Image.open(masks / "broken-half-size.png").size == (20, 16)
    stems = {p.stem for p in [*images.iterdir(), *masks.iterdir()] if p.stem.startswith("broken")}
    assert stems == set(drawn.broken)


def test_the_default_drawing_stays_under_the_default_reject_budget(tmp_path):
    defaults = draw_dataset.__kwdefaults__
    broken = len(draw_dataset(tmp_path, examples=1, size=(16, 16)).broken)

    assert broken / (defaults["examples"] + broken) < 0.05


def test_the_label_map_is_the_contracts_json(tmp_path):
    drawn = draw_dataset(tmp_path, examples=1, size=(16, 16), broken=False)
    record = json.loads(drawn.label_map.read_text())

    assert record["ignore_id"] == 255
    assert record["classes"][1] == {"id": 1, "name": "disc", "color": [219, 190, 60]}


def test_a_collection_varies_in_size_and_shape(tmp_path):
    assert draw_collection(tmp_path, pictures=8, broken=False) == {}

    sizes = [Image.open(p).size for p in tmp_path.iterdir()]
    assert len(set(sizes)) == 8
    assert min(w / h for w, h in sizes) < 0.9 < 1.1 < max(w / h for w, h in sizes)


def test_the_last_picture_is_upright_once_its_orientation_is_applied(tmp_path):
    draw_collection(tmp_path / "one", pictures=1, broken=False)
    draw_collection(tmp_path / "two", pictures=2, broken=False)
    turned = Image.open(tmp_path / "one" / "picture-000-turned.jpg")
    plain = Image.open(tmp_path / "two" / "picture-000.jpg")

    assert turned.size == plain.size[::-1]
    upright = np.asarray(ImageOps.exif_transpose(turned), np.int16)
    difference = np.abs(upright - np.asarray(plain, np.int16))
    assert difference.mean() < 4  # JPEG blocks differ, the picture does not


def test_the_broken_picture_is_cut_off(tmp_path):
    broken = draw_collection(tmp_path, pictures=1)

    assert broken == {"broken-cut-off.jpg": RejectCode.UNREADABLE}
    with pytest.raises(OSError, match="truncated"):
        Image.open(tmp_path / "broken-cut-off.jpg").load()
