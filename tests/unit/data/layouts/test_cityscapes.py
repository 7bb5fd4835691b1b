"""Cityscapes: train ids where there are any, else label ids mapped to the 19 classes."""

import numpy as np
import pytest

from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.cityscapes import Cityscapes
from segflow.errors import UsageError
from tests.unit.data.layouts import trees

ROW = [7, 33, 0, 29, 23, 255]
LABEL_IDS = np.array([ROW] * 4, np.uint8)
TRAIN_IDS = np.array([[0, 18, 255, 255, 10, 255]] * 4, np.uint8)


def _set(root, *, train_ids):
    stem = "aachen/aachen_000001_000019"
    trees.draw(root, (f"leftImg8bit/train/{stem}_leftImg8bit.png",
                      f"leftImg8bit/val/{stem}_leftImg8bit.png"))  # fmt: skip
    for kind, values in (("labelIds", LABEL_IDS), ("instanceIds", LABEL_IDS), ("color", LABEL_IDS)):
        trees.save(root / f"gtFine/train/{stem}_gtFine_{kind}.png", values)
    if train_ids:
        trees.save(root / f"gtFine/train/{stem}_gtFine_labelTrainIds.png", TRAIN_IDS)
    return root


@pytest.mark.parametrize("train_ids", [False, True])
def test_both_codings_give_the_same_masks(tmp_path, train_ids):
    root = _set(tmp_path / "set", train_ids=train_ids)
    (tmp_path / "out").mkdir()

    assert trees.verdicts(Cityscapes(), root, tmp_path / "out") == {
        "train/aachen/aachen_000001_000019": TRAIN_IDS.tolist(),
        "val/aachen/aachen_000001_000019": "missing_mask",
    }
    rows = trees.plan(Cityscapes(), SourcePaths(str(root)), tmp_path / "out")
    assert [row["split"] for row in rows] == ["train", "val"]


def test_label_ids_are_all_mapped_or_ignored_by_the_label_map(tmp_path):
    table = (
        Cityscapes().label_map(SourcePaths(str(_set(tmp_path / "set", train_ids=False)))).raw_to_id
    )
    assert set(table) == {*range(34), 255}
    assert sorted(v for v in table.values() if v != 255) == list(range(19))
    assert table[24] == 11  # person


def test_train_ids_do_not_take_label_ids(tmp_path):
    label_map = Cityscapes().label_map(SourcePaths(str(_set(tmp_path / "set", train_ids=True))))
    assert label_map.raw_to_id == {i: i for i in (*range(19), 255)}


def test_auto_recognises_the_two_folders(tmp_path):
    layout, why = find_layout("auto", SourcePaths(str(_set(tmp_path, train_ids=True))))
    assert (layout.name, why) == ("cityscapes", "it holds leftImg8bit/ and gtFine/")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="expected the folder leftImg8bit/"):
        list(Cityscapes().sources(SourcePaths(str(tmp_path))))
