"""Pascal VOC: lists, palette and colour masks, void."""

import numpy as np
import pytest
from PIL import Image

from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.voc import Voc
from segflow.errors import UsageError
from tests.unit.data.layouts import trees


def _set(root, **lists):
    trees.draw(
        root,
        tuple(f"JPEGImages/{name}.jpg" for name in ("a", "b", "c", "d")),
        SegmentationClass__a=np.full(trees.SIZE, 15),
        SegmentationClass__b=np.full(trees.SIZE, 255),
        SegmentationClass__d=np.full(trees.SIZE, 21),
    )
    for name, text in lists.items():
        trees.write(root / f"ImageSets/Segmentation/{name}.txt", text)
    return root


def _splits(root, tmp_path):
    return {row["key"]: row["split"] for row in trees.plan(Voc(), SourcePaths(str(root)), tmp_path)}


def test_lists_give_the_splits_and_what_none_names_is_left_out(tmp_path):
    root = _set(tmp_path / "voc", train="a\n", val="b\n\n", trainval="a\nb\nd\n", test="c\n")
    (tmp_path / "out").mkdir()

    assert _splits(root, tmp_path / "out") == {"a": "train", "b": "val", "c": "test"}
    assert trees.verdicts(Voc(), root, tmp_path / "out") == {
        "a": np.full(trees.SIZE, 15).tolist(),
        "b": np.full(trees.SIZE, 255).tolist(),
        "c": "missing_mask",
    }


def test_trainval_counts_where_train_and_val_are_missing(tmp_path):
    root = _set(tmp_path / "voc", trainval="a\nb\n", test="d\n")
    (tmp_path / "out").mkdir()

    assert _splits(root, tmp_path / "out") == {"a": "trainval", "b": "trainval", "d": "test"}


def test_without_lists_everything_is_taken_and_cvats_default_is_no_split(tmp_path):
    bare, exported = _set(tmp_path / "bare"), _set(tmp_path / "exported", default="a\nb\n")
    (tmp_path / "out").mkdir()

    assert _splits(bare, tmp_path / "out").keys() == {"a", "b", "c", "d"}
    assert _splits(exported, tmp_path / "out") == {"a": "train", "b": "train"}  # by hash


def test_a_listed_image_that_is_not_there_or_listed_twice_is_rejected(tmp_path):
    root = _set(tmp_path / "voc", train="a\nzebra\nd\n", val="a\n")
    (tmp_path / "out").mkdir()

    assert trees.verdicts(Voc(), root, tmp_path / "out") == {
        "a": "duplicate_key",
        "zebra": "missing_image",
        "d": "unknown_label",
    }


def test_the_own_label_map_has_vocs_colours_and_reads_colour_and_palette_masks(tmp_path):
    label_map = Voc().label_map(SourcePaths(str(tmp_path)))
    assert label_map.num_classes == 21
    assert label_map.ignore_id == 255
    colors = {c.name: c.color for c in label_map.classes}
    # From the development kit's table.
    assert colors["aeroplane"] == (128, 0, 0)
    assert colors["person"] == (192, 128, 128)
    assert colors["tvmonitor"] == (0, 64, 128)

    root = trees.draw(tmp_path / "voc", ("JPEGImages/rgb.jpg", "JPEGImages/palette.jpg"))
    values = np.array([[15, 255, 0, 20, 1, 2]] * 4, np.uint8)
    table = np.zeros((256, 3), np.uint8)
    table[:21], table[255] = label_map.palette(), (224, 224, 192)
    trees.save(root / "SegmentationClass/rgb.png", table[values])
    palette = Image.fromarray(values)
    palette.putpalette(table.tobytes())
    palette.save(root / "SegmentationClass/palette.png")
    (tmp_path / "out").mkdir()

    found = trees.verdicts(Voc(), root, tmp_path / "out")

    assert found == {"rgb": values.tolist(), "palette": values.tolist()}


def test_labelmap_txt_in_the_root_is_its_label_map(tmp_path):
    trees.write(tmp_path / "labelmap.txt", "sky:1,2,3::\nroad:4,5,6::\n")
    assert Voc().label_map(SourcePaths(str(tmp_path))).names == ("sky", "road")


def test_auto_recognises_the_two_folders(tmp_path):
    layout, why = find_layout("auto", SourcePaths(str(_set(tmp_path))))
    assert (layout.name, why) == ("voc", "it holds JPEGImages/ and SegmentationClass/")


def test_a_missing_folder_or_a_broken_list_is_named(tmp_path):
    with pytest.raises(UsageError, match="expected the folder JPEGImages/"):
        list(Voc().sources(SourcePaths(str(tmp_path))))
    root = _set(tmp_path / "voc", train="a")
    (root / "ImageSets/Segmentation/train.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match=r"train\.txt: cannot be read"):
        list(Voc().sources(SourcePaths(str(root))))
