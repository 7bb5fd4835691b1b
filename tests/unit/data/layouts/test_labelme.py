"""LabelMe: shapes to masks, and which image a JSON file is about."""

import base64

import numpy as np
import pytest

from segflow.data.command import ingest
from segflow.data.config import IngestConfig
from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.labelme import LabelMe
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from tests.unit.data.layouts import trees
from tests.unit.data.pictures import encode


def _shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def _json(*shapes, **more):
    return {"shapes": list(shapes), "imagePath": "a.jpg", "imageHeight": 4, "imageWidth": 6, **more}


SQUARE = [[0, 0], [3, 0], [3, 2], [0, 2]]
LABELS = LabelMap.from_dict(
    {"classes": [{"id": 0, "name": "_background_"}, {"id": 1, "name": "x"}], "ignore_id": 9,
     "ignore_names": ["__ignore__"]}
)  # fmt: skip


def _mask(tmp_path, content, label_map=LABELS):
    root = trees.draw(tmp_path / "set", ("a.jpg",))
    trees.write(root / "a.json", content)
    (tmp_path / "out").mkdir(exist_ok=True)
    return trees.verdicts(LabelMe(), root, tmp_path / "out", label_map)["a"]


def test_polygons_are_drawn_in_order_over_the_background(tmp_path):
    ignored = _shape("__ignore__", [[2, 1], [6, 1], [6, 4], [2, 4]])
    assert _mask(tmp_path, _json(_shape("x", SQUARE), ignored)) == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 9, 9, 9, 9],
        [0, 0, 9, 9, 9, 9],
        [0, 0, 9, 9, 9, 9],
    ]


def test_a_mask_in_a_file_that_claims_48_megapixels_costs_its_image_only(tmp_path):
    png = base64.b64encode(encode(np.full((2, 3), 255, np.uint8), "PNG")).decode()
    shape = _shape("x", [[0, 0], [2, 1]], "mask", mask=png)
    content = _json(shape, imageHeight=8000, imageWidth=6000)

    assert _mask(tmp_path, content) == "size_mismatch"


def test_rectangles_circles_and_masks_are_drawn_and_lines_are_not(tmp_path):
    square = _mask(tmp_path, _json(_shape("x", SQUARE)))
    assert _mask(tmp_path, _json(_shape("x", [[3, 2], [0, 0]], "rectangle"))) == square
    png = base64.b64encode(encode(np.full((2, 3), 255, np.uint8), "PNG")).decode()
    assert _mask(tmp_path, _json(_shape("x", [[0, 0], [2, 1]], "mask", mask=png))) == square
    circle = _mask(tmp_path, _json(_shape("x", [[3, 2], [4, 2]], "circle")))
    assert np.argwhere(circle).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    for kind in ("line", "linestrip", "point"):
        assert not np.any(_mask(tmp_path, _json(_shape("x", SQUARE, kind))))


def test_without_a_size_the_images_own_is_taken_and_another_is_a_mismatch(tmp_path):
    assert np.shape(_mask(tmp_path, {"shapes": [_shape("x", SQUARE)]})) == (4, 6)
    assert _mask(tmp_path, _json(_shape("x", SQUARE), imageWidth=7)) == "size_mismatch"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "unreadable"),
        ("[" * 100_000, "unreadable"),
        ({"version": 1}, "unreadable"),
        (_json(_shape("x", SQUARE, "cuboid")), "unreadable"),
        (_json(_shape("x", [[1], [2, 3], [4, 5]])), "unreadable"),
        (_json(_shape("x", [[0, 0], [1, None], [4, 5]])), "unreadable"),
        (_json(_shape("x", [[0, 0]], "rectangle")), "unreadable"),
        (_json({"label": "x"}), "unreadable"),
        (_json(_shape("x", [[1e400, 0], [2, 1]], "mask", mask="")), "unreadable"),
        (_json(_shape("x", [[10**400, 0], [2, 1], [3, 3]])), "unreadable"),
        (_json(_shape("x", [[0, 0]], "mask", mask="%%")), "unreadable"),
        (_json(_shape("other", SQUARE)), "unknown_label"),
        (_json(imageHeight=10**6, imageWidth=10**6), "too_large"),
    ],
)
def test_a_broken_file_costs_its_image_only(tmp_path, content, code):
    assert _mask(tmp_path, content) == code


def test_images_and_files_without_the_other_are_missing(tmp_path):
    root = trees.draw(tmp_path / "set", ("a.jpg", "sub/b.jpg", "c.jpg"))
    for name in ("a", "sub/b", "d"):
        trees.write(root / f"{name}.json", _json(_shape("x", SQUARE)))
    (tmp_path / "out").mkdir()

    found = trees.verdicts(LabelMe(), root, tmp_path / "out", LABELS)

    assert found["c"] == "missing_mask"
    assert found["d"] == "missing_image"
    assert found["a"] == found["sub/b"]


def test_of_several_images_with_one_stem_the_file_says_which(tmp_path):
    root = trees.draw(tmp_path / "set", ("a.jpg", "a.png", "b.jpg", "b.png"))
    trees.write(root / "a.json", _json(_shape("x", SQUARE), imagePath="C:\\photos\\a.jpg"))
    trees.write(root / "b.json", _json(_shape("x", SQUARE), imagePath="../../etc/passwd"))
    (tmp_path / "out").mkdir()

    rows = {r["key"]: r for r in trees.plan(LabelMe(), SourcePaths(str(root)), tmp_path / "out")}

    assert rows["a"]["image_uri"] == str(root / "a.jpg")
    assert rows["b"]["code"] == "duplicate_key"


def test_the_own_label_map_has_background_and_all_labels(tmp_path):
    trees.write(tmp_path / "a.json", _json(_shape("x", SQUARE), _shape("__ignore__", SQUARE)))
    trees.write(tmp_path / "b.json", _json(_shape("b", SQUARE), _shape("_background_", SQUARE)))
    trees.write(tmp_path / "broken.json", "{")

    label_map = LabelMe().label_map(SourcePaths(str(tmp_path)))

    assert label_map.names == ("_background_", "b", "x")
    assert label_map.ignore_names == ("__ignore__",)


def test_auto_recognises_a_list_of_shapes_but_no_other_json(tmp_path):
    trees.write(tmp_path / "yes/a.json", _json(_shape("x", SQUARE)))
    trees.write(tmp_path / "no/a.json", {"objects": []})

    layout, why = find_layout("auto", SourcePaths(str(tmp_path / "yes")))

    assert (layout.name, why) == ("labelme", "a.json holds a list of shapes")
    assert LabelMe().recognise(SourcePaths(str(tmp_path / "no"))) is None


def test_an_output_among_the_images_is_refused(tmp_path):
    root = trees.draw(tmp_path / "set", ("a.jpg",))
    trees.write(root / "a.json", _json(_shape("x", SQUARE)))
    config = IngestConfig(images=str(root), output=str(root / "out"), image_size="4x6")

    with pytest.raises(UsageError, match=r"lies in --images .*; choose a folder outside"):
        ingest(config)
    assert not (root / "out").exists()
