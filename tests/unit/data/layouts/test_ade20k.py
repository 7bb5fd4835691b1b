"""ADE20K: both full releases and SceneParsing."""

import numpy as np
import pytest

from segflow.data.command import ingest
from segflow.data.config import IngestConfig
from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.ade20k import Ade20k
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from tests.unit.data.layouts import trees

CODED = np.array([[[71, 39, 1], [0, 0, 0], [15, 145, 2]] * 2] * 4, np.uint8)  # 1831, 0, 401
LABELS = LabelMap.from_dict(
    {"classes": [{"id": 0, "name": "car", "raw_ids": [401]},
                 {"id": 1, "name": "person", "raw_ids": [1831]}], "ignore_raw_ids": [0]}
)  # fmt: skip


def _full(root, inside="", objects=None):
    base = root / inside
    trees.draw(base, ("training/street/1.jpg", "training/street/1_parts_1.png",
                      "training/street/1/instance_000_1.png", "validation/2.jpg"))  # fmt: skip
    trees.save(base / "training/street/1_seg.png", CODED)
    if objects is not None:
        trees.write(base / "training/street/1.json", {"annotation": {"object": objects}})
    return root


def _masks(root, tmp_path, label_map=None):
    (tmp_path / "out").mkdir(exist_ok=True)
    return trees.verdicts(Ade20k(), root, tmp_path / "out", label_map)


@pytest.mark.parametrize("inside", ["", "images", "images/ADE"])
def test_the_full_releases_code_classes_in_red_and_green(tmp_path, inside):
    root = _full(tmp_path / "set", inside)

    assert _masks(root, tmp_path, LABELS) == {
        "training/street/1": [[1, 255, 0] * 2] * 4,
        "validation/2": "missing_mask",
    }
    rows = trees.plan(Ade20k(), SourcePaths(str(root)), tmp_path / "out")
    assert [row["split"] for row in rows] == ["train", "val"]


def _object(value, name, level=0):
    return {"name_ndx": value, "name": name, "parts": {"part_level": level}}


def test_the_json_of_2020_names_the_classes_and_parts_are_none(tmp_path):
    objects = [_object(1831, "person"), _object(401, "car"), _object(774, "door", 1)]
    root = _full(tmp_path / "set", objects=objects)

    label_map = Ade20k().label_map(SourcePaths(str(root)))

    assert label_map == LABELS
    assert _masks(root, tmp_path)["training/street/1"] == [[1, 255, 0] * 2] * 4


def test_two_values_with_one_name_are_told_apart(tmp_path):
    root = _full(tmp_path, objects=[_object(5, "bar"), _object(9, "bar"), _object(7, "sea")])
    names = Ade20k().label_map(SourcePaths(str(root))).names
    assert names == ("bar (5)", "sea", "bar (9)")


@pytest.mark.parametrize("content", ["{", [], {"annotation": {"object": [{}]}}])
def test_json_that_names_nothing_leaves_the_label_map_to_the_user(tmp_path, content):
    root = _full(tmp_path)
    trees.write(root / "training/street/1.json", content)
    assert Ade20k().label_map(SourcePaths(str(root))) is None


def test_without_a_label_map_the_draft_lists_the_coded_values(tmp_path):
    config = IngestConfig(
        images=str(_full(tmp_path / "set")), image_size="4x6", output=str(tmp_path / "out")
    )
    with pytest.raises(UsageError, match="hold the values 0, 401, 1831"):
        ingest(config)


def test_scene_parsing_holds_1_to_150_and_ignores_0(tmp_path):
    root = trees.draw(tmp_path / "set", ("images/training/a.jpg", "images/validation/b.jpg"))
    trees.save(root / "annotations/training/a.png", np.array([[1, 0, 150] * 2] * 4, np.uint8))
    trees.save(root / "annotations/validation/b.png", np.full(trees.SIZE, 151, np.uint8))

    layout, why = find_layout("auto", SourcePaths(str(root)))
    label_map = Ade20k().label_map(SourcePaths(str(root)))

    assert (layout.name, why) == ("ade20k", "it holds images/training/ and annotations/training/")
    assert label_map.num_classes == 150
    assert (label_map.names[0], label_map.names[12], label_map.names[149]) == (
        "wall",
        "person",
        "flag",
    )
    assert _masks(root, tmp_path) == {
        "training/a": [[0, 255, 149] * 2] * 4,
        "validation/b": "unknown_label",
    }


def test_auto_recognises_the_coded_files_and_elsewhere_says_what_it_expects(tmp_path):
    layout, why = find_layout("auto", SourcePaths(str(_full(tmp_path / "set", "images"))))
    assert (layout.name, why) == ("ade20k", "images/training/ holds files *_seg.png")
    with pytest.raises(UsageError, match=r"expected training/ or validation/"):
        list(Ade20k().sources(SourcePaths(str(tmp_path))))
