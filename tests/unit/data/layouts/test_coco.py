"""COCO: instances, stuff and panoptic masks against pycocotools; broken annotations contained."""

import gc
import json
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools.coco import COCO

from segflow.data.layouts import SourcePaths, coco, find_layout
from segflow.data.layouts.coco import Coco
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from tests.unit.data.layouts import trees

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]
SQUARE = [[0, 0, 3, 0, 3, 2, 0, 2]]
WHOLE = {"size": list(trees.SIZE), "counts": [0, 24]}


def _image(image_id=1, name="a.png", **more):
    return {"id": image_id, "file_name": name, "height": 4, "width": 6, **more}


def _annotation(category_id, segmentation, image_id=1, **more):
    return {"id": 1, "image_id": image_id, "category_id": category_id,
            "segmentation": segmentation, **more}  # fmt: skip


def _set(root, *annotations, kind="instances", split="train2017", categories=CATEGORIES, **more):
    content = {"images": [_image()], "categories": categories, "annotations": annotations, **more}
    trees.draw(root, tuple(f"images/{split}/{i['file_name']}" for i in content["images"]))
    trees.write(root / f"annotations/{kind}_{split}.json", content)
    return root


def _masks(root, tmp_path, label_map=None, **paths):
    (tmp_path / "out").mkdir(exist_ok=True)
    given = SourcePaths(str(root), **paths)
    return trees.verdicts(Coco(), root, tmp_path / "out", label_map, paths=given)


def test_the_largest_is_drawn_first_and_what_none_covers_is_background(tmp_path):
    objects = [_annotation(8, SQUARE), _annotation(3, [[0, 0, 6, 0, 6, 3, 0, 3]])]
    root = _set(tmp_path / "set", *objects)

    assert _masks(root, tmp_path) == {
        "train2017/a": [
            [2, 2, 2, 1, 1, 1],
            [2, 2, 2, 1, 1, 1],
            [1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0],
        ]
    }
    assert trees.plan(Coco(), SourcePaths(str(root)), tmp_path / "out")[0]["split"] == "train"


@pytest.mark.parametrize("seed", range(5))
def test_masks_are_pycocotools_masks_one_over_another(tmp_path, seed):
    random = np.random.default_rng(seed)
    objects = []
    for number in range(6):
        rings = (random.random((2, 5, 2)) * [8, 6] - 1).reshape(2, 10).tolist()
        counts = np.bincount(random.integers(0, 7, 24), minlength=7).tolist()
        shape = rings if number % 2 else {"size": [4, 6], "counts": counts}
        objects.append(_annotation(int(random.choice([3, 8])), shape) | {"id": number + 1})
    root = _set(tmp_path / "set", *objects)
    api = COCO(root / "annotations/instances_train2017.json")
    drawn = [
        (api.annToMask(entry), entry["category_id"]) for entry in api.loadAnns(api.getAnnIds())
    ]
    expected = np.zeros(trees.SIZE, int)
    for mask, category in sorted(drawn, key=lambda pair: -int(pair[0].sum())):
        expected[mask.astype(bool)] = {3: 1, 8: 2}[category]

    assert _masks(root, tmp_path)["train2017/a"] == expected.tolist()


def test_an_image_without_objects_is_all_background(tmp_path):
    assert not np.any(_masks(_set(tmp_path / "set"), tmp_path)["train2017/a"])


def test_what_stuff_leaves_open_is_ignored(tmp_path):
    root = _set(tmp_path / "set", _annotation(8, SQUARE), kind="stuff")
    assert _masks(root, tmp_path)["train2017/a"][1] == [1, 1, 1, 255, 255, 255]


def _panoptic(root, segments, values, **more):
    entry = {"image_id": 1, "file_name": "a.png", "segments_info": segments, **more}
    _set(root, entry, kind="panoptic")
    ids = np.array(values)
    colors = np.stack((ids & 255, ids >> 8 & 255, ids >> 16), -1).astype(np.uint8)
    trees.save(root / "annotations/panoptic_train2017/a.png", colors)
    return root


def test_panoptic_ids_are_mapped_through_their_segments(tmp_path):
    segments = [{"id": 70000, "category_id": 8}, {"id": 5, "category_id": 3}]
    root = _panoptic(tmp_path / "set", segments, [[70000, 5, 0, 0, 5, 5]] * 4)
    assert _masks(root, tmp_path)["train2017/a"] == [[1, 0, 255, 255, 0, 0]] * 4


def test_a_panoptic_file_that_is_missing_outside_or_without_ids_is_rejected(tmp_path):
    good = [{"id": 5, "category_id": 3}]
    values = np.full(trees.SIZE, 5)
    for number, (more, code) in enumerate(
        [
            ({"file_name": "b.png"}, "missing_mask"),
            ({"file_name": "../../secret.png"}, "outside_root"),
            ({"segments_info": [{"id": "x", "category_id": 3}]}, "unreadable"),
            ({"segments_info": [{"id": float("inf"), "category_id": 3}]}, "unreadable"),
        ]
    ):
        root = _panoptic(tmp_path / f"set{number}", good, values, **more)
        assert _masks(root, tmp_path)["train2017/a"] == code


@pytest.mark.parametrize(
    ("annotation", "code"),
    [
        (_annotation(8, []), "missing_mask"),
        (_annotation(8, None), "missing_mask"),
        (_annotation(5, SQUARE), "unknown_label"),
        (_annotation("8", SQUARE), "unreadable"),
        (_annotation(8, "text"), "unreadable"),
        (_annotation(8, {"counts": [24]}), "unreadable"),
        (_annotation(8, {"size": [4, 6], "counts": [5, 1000]}), "unreadable"),
        (_annotation(8, {"size": [4, 6], "counts": [2]}), "unreadable"),
        (_annotation(8, {"size": [6, 4], "counts": [24]}), "unreadable"),
        (_annotation(8, {"size": [4, 6], "counts": "oooooo"}), "unreadable"),
        (_annotation(8, {"size": None, "counts": [24]}), "unreadable"),
        (_annotation(8, [[0, 0, 1]]), "unreadable"),
        (_annotation(8, [[0, 0, 1, 1, 2, float("nan")]]), "unreadable"),
        (_annotation(8, [[0, 0, 1, 1, 2, {}]]), "unreadable"),
        (_annotation(8, [1, 2, 3, 4, 5, 6]), "unreadable"),
    ],
)
def test_a_broken_annotation_costs_its_image_only(tmp_path, annotation, code):
    images = [_image(), _image(2, "b.png")]
    root = _set(tmp_path / "set", annotation, _annotation(3, WHOLE, 2), images=images)

    found = _masks(root, tmp_path)

    assert found["train2017/a"] == code
    assert found["train2017/b"] == np.full(trees.SIZE, 1).tolist()


@pytest.mark.parametrize("far", [7, 1e6, 1e15, 1e300])
def test_polygons_that_leave_the_image_are_cut_off(tmp_path, far):
    root = _set(tmp_path / "set", _annotation(8, [[-far, -far, far, -far, far, 2, -far, 2]]))
    assert _masks(root, tmp_path)["train2017/a"] == [[2] * 6] * 2 + [[0] * 6] * 2


def test_sizes_that_do_not_fit_the_image_are_rejected(tmp_path):
    for number, (size, code) in enumerate(
        [((5, 6), "size_mismatch"), ((10**7, 10**7), "too_large")]
    ):
        image = _image(height=size[0], width=size[1])
        root = _set(tmp_path / f"set{number}", _annotation(8, SQUARE), images=[image])
        assert _masks(root, tmp_path)["train2017/a"] == code


def test_images_that_are_missing_outside_or_listed_twice_are_rejected(tmp_path):
    root = _set(tmp_path / "set", _annotation(8, SQUARE), _annotation(8, SQUARE, image_id=99))
    path = root / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"] += [
        _image(2, "gone.png"),
        _image(3, "../../../secret.png"),
        _image(4, "/etc/passwd"),
        _image(5, "twice.png"),
        _image(6, "twice.png"),
        _image(7, "\ud800.png"),
    ]
    trees.draw(root, ("images/train2017/twice.png",))
    path.write_text(json.dumps(content))

    found = _masks(root, tmp_path)

    assert isinstance(found.pop("train2017/a"), list)
    assert sorted(found.values()) == [
        "duplicate_key",
        "missing_image",
        "missing_image",
        "outside_root",
        "outside_root",
        "unreadable",
    ]
    assert found["instances_train2017: image_id 99"] == "missing_image"


def test_background_finds_a_value_where_a_category_is_0_or_is_the_background(tmp_path):
    zero = _set(tmp_path / "a", categories=[{"id": 0, "name": "cat"}])
    named = _set(tmp_path / "b", categories=[{"id": 0, "name": "Background"}, *CATEGORIES])

    assert Coco().label_map(SourcePaths(str(zero))).raw_to_id == {65535: 0, 0: 1, 255: 255}
    assert Coco().label_map(SourcePaths(str(named))).names == ("Background", "cat", "dog")
    assert not np.any(_masks(zero, tmp_path)["train2017/a"])


def test_a_given_label_map_merges_categories_by_raw_ids(tmp_path):
    label_map = LabelMap.from_dict(
        {"classes": [{"id": 0, "name": "animal", "raw_ids": [3, 8]}], "ignore_raw_ids": [0]}
    )
    root = _set(tmp_path / "set", _annotation(8, SQUARE))
    assert _masks(root, tmp_path, label_map)["train2017/a"][0] == [0, 0, 0, 255, 255, 255]


def test_a_file_named_panoptic_that_holds_objects_is_drawn(tmp_path):
    root = _set(tmp_path / "set", _annotation(8, SQUARE), kind="panoptic")
    assert _masks(root, tmp_path)["train2017/a"][0] == [2, 2, 2, 0, 0, 0]


def test_several_kinds_ask_for_a_choice_and_masks_makes_it(tmp_path):
    root = _set(tmp_path / "set", _annotation(8, SQUARE))
    _set(root, _annotation(8, SQUARE), kind="stuff")

    with pytest.raises(UsageError, match=r"holds instances and stuff; choose with --masks"):
        list(Coco().sources(SourcePaths(str(root))))
    chosen = _masks(root, tmp_path, masks=f"{root}/annotations/stuff_*.json")
    assert chosen["train2017/a"][0][5] == 255
    with pytest.raises(UsageError, match="matches none"):
        list(Coco().sources(SourcePaths(str(root), str(root / "none_*.json"))))


def test_roboflows_files_lie_with_the_images(tmp_path):
    root = trees.draw(tmp_path / "set", ("valid/a.png",))
    content = {"images": [_image()], "categories": CATEGORIES, "annotations": []}
    trees.write(root / "valid/_annotations.coco.json", content)
    (tmp_path / "out").mkdir()

    (row,) = trees.plan(Coco(), SourcePaths(str(root)), tmp_path / "out")

    assert (row["key"], row["split"], row["code"]) == ("valid/a", "val", None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "no list 'images'"),
        ({"images": [], "categories": [], "annotations": []}, "no categories"),
        ({"images": [], "categories": [{"id": "1"}], "annotations": []}, "integer id and a name"),
        ({"images": [{}], "categories": CATEGORIES, "annotations": []}, "no file_name"),
        ({"images": [1], "categories": CATEGORIES, "annotations": []}, "'images' of objects"),
        (
            {"images": [_image({})], "categories": CATEGORIES, "annotations": []},
            r"images\[0\] has the id {}; expected a number or text",
        ),
        (
            {
                "images": [_image()],
                "categories": CATEGORIES,
                "annotations": [_annotation(3, SQUARE), _annotation(3, SQUARE, [1] * 9)],
            },
            r"annotations\[1\] has the image_id \[1, 1, 1, 1, 1, 1, \.\.\.\]; expected",
        ),
    ],
)
def test_a_broken_file_is_a_usage_error(tmp_path, content, why):
    path = trees.write(tmp_path / "annotations/instances_train.json", content)
    with pytest.raises(UsageError, match=why) as caught:
        list(Coco().sources(SourcePaths(str(tmp_path))))
    assert str(path) in str(caught.value)


def test_one_file_is_held_at_a_time(tmp_path, monkeypatch):
    root = tmp_path
    for split in ("a", "b", "c"):
        _set(root, _annotation(8, SQUARE), split=split)
    loaded, held = [], []
    real = coco._File.load

    def load(path):
        gc.collect()
        held.append(sum(file() is not None for file in loaded))
        file = real(path)
        loaded.append(weakref.ref(file))
        return file

    monkeypatch.setattr(coco, "_File", SimpleNamespace(load=load))

    Coco().label_map(SourcePaths(str(root)))
    list(Coco().sources(SourcePaths(str(root))))

    assert held == [0] * 6


def test_one_id_with_two_names_asks_for_a_label_map(tmp_path):
    root = _set(tmp_path)
    _set(root, split="val2017", categories=[{"id": 3, "name": "bird"}])
    with pytest.raises(UsageError, match="the category 3 is 'bird' here and 'cat'"):
        Coco().label_map(SourcePaths(str(root)))


def test_auto_recognises_cocos_names_or_a_json_file_as_masks(tmp_path):
    root = _set(tmp_path)
    layout, why = find_layout("auto", SourcePaths(str(root)))
    assert (layout.name, why) == ("coco", "it holds annotations/instances_train2017.json")
    layout, why = find_layout("auto", SourcePaths(str(root), "somewhere/panoptic_*.json"))
    assert (layout.name, why) == ("coco", "--masks names JSON files")
