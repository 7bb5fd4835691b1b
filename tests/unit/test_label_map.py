import json

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap

SKY = {"id": 0, "name": "sky", "color": [128, 128, 128]}
ROAD = {"id": 1, "name": "road", "color": [10, 20, 30]}


def _map(*classes, **rest):
    return LabelMap.from_dict({"classes": list(classes), **rest})


def test_reads_the_contracts_example():
    label_map = _map({**SKY, "raw_ids": [0, 23]}, {**ROAD, "raw_ids": [7]}, ignore_id=255)

    assert label_map.num_classes == 2
    assert label_map.names == ("sky", "road")
    assert label_map.classes[0] == LabelClass(0, "sky", (128, 128, 128), (0, 23))
    assert label_map.raw_to_id == {0: 0, 23: 0, 7: 1, 255: 255}


def test_the_ignore_id_is_255_unless_given():
    assert _map(SKY).ignore_id == 255
    assert _map(SKY, ignore_id=1000).ignore_id == 1000


def test_without_raw_ids_a_value_means_itself():
    assert _map(SKY, ROAD).raw_to_id == {0: 0, 1: 1, 255: 255}


def test_a_class_with_raw_ids_no_longer_claims_its_own_id():
    label_map = _map(SKY, {**ROAD, "raw_ids": [255]}, ignore_id=11)

    assert label_map.raw_to_id == {0: 0, 255: 1, 11: 11}


def test_a_raw_id_wins_over_the_ignore_id():
    """A source may spell a class with the number that means "ignore" in the stored masks."""
    assert _map(SKY, {**ROAD, "raw_ids": [255]}).raw_to_id == {0: 0, 255: 1}


def test_classes_may_be_listed_in_any_order():
    assert _map(ROAD, SKY) == _map(SKY, ROAD)


@pytest.mark.parametrize(
    ("ignore_id", "classes", "dtype"),
    [(255, 2, np.uint8), (256, 2, np.uint16), (65535, 2, np.uint16), (999, 300, np.uint16)],
)
def test_dtype_is_the_narrowest_that_holds_every_id(ignore_id, classes, dtype):
    listed = [{"id": i, "name": f"c{i}"} for i in range(classes)]
    assert _map(*listed, ignore_id=ignore_id).dtype is dtype


def test_the_palette_keeps_given_colours_and_invents_distinct_ones():
    classes = [SKY, *({"id": i, "name": f"c{i}"} for i in range(1, 40))]
    palette = _map(*classes).palette()

    assert palette.shape == (40, 3)
    assert palette.dtype == np.uint8
    assert tuple(palette[0]) == (128, 128, 128)
    assert len({tuple(color) for color in palette.tolist()}) == 40


# What a user may get wrong, and what the message must say.

PROBLEMS = [
    ([SKY, {"id": 0, "name": "road"}], {}, "the id 0 is used twice"),
    ([SKY, {"id": 1, "name": "sky"}], {}, "the name 'sky' is used twice"),
    ([SKY, {"id": 2, "name": "road"}], {}, r"ids must run 0, 1, 2, …; found \[0, 2\]"),
    ([{"id": 1, "name": "road"}], {}, "ids must run 0, 1, 2"),
    ([SKY, ROAD], {"ignore_id": 1}, "ignore_id 1 is also a class id"),
    ([SKY, {**ROAD, "raw_ids": [0]}], {}, "the source value 0 is claimed twice"),
    ([SKY, {**ROAD, "color": SKY["color"]}], {}, r"the colour \(128, 128, 128\) is used twice"),
    ([{**SKY, "raw_ids": [70000]}], {}, "70000 is outside 0 to 65535"),
    ([{**SKY, "raw_ids": [-1]}], {}, "-1 is outside 0 to 65535"),
    ([SKY], {"ignore_id": -1}, "-1 is outside 0 to 65535"),
    ([SKY], {"ignore_id": 65536}, "65536 is outside 0 to 65535"),
    ([], {}, "no classes; list at least one"),
    ([SKY], {"ignore": 255}, "unknown key 'ignore'; known: classes, ignore_id"),
    ([SKY], {"ignore_raw_ids": [0]}, "the source value 0 is claimed twice"),
    ([SKY], {"ignore_raw_ids": [70000]}, "70000 is outside 0 to 65535"),
    ([SKY], {"ignore_raw_ids": 3}, "ignore_raw_ids must be integers, found 3"),
    ([SKY], {"ignore_colors": [SKY["color"]]}, r"the colour \(128, 128, 128\) is used twice"),
    ([SKY], {"ignore_colors": [[1, 2]]}, r"ignore_colors: each must be \[r, g, b\]"),
    ([SKY], {"ignore_colors": 3}, "ignore_colors must be a list"),
    ([SKY], {"ignore_names": ["sky"]}, "the label 'sky' is claimed twice"),
    ([SKY], {"ignore_names": "sky"}, "ignore_names must be a list of strings"),
    ([{**SKY, "raw_names": [3]}], {}, "class 'sky': raw_names must be a list of strings"),
    ([SKY], {"ignore_id": "255"}, "ignore_id must be an integer, found '255'"),
    ([SKY], {"ignore_id": True}, "ignore_id must be an integer, found True"),
    (["sky"], {}, "a class must be .* found 'sky'"),
    ([{"id": 0}], {}, "a class needs an integer id and a name"),
    ([{"name": "sky"}], {}, "a class needs an integer id and a name"),
    ([{"id": 0, "name": " "}], {}, "a class needs an integer id and a name"),
    ([{"id": "0", "name": "sky"}], {}, "a class needs an integer id and a name"),
    ([{"id": True, "name": "sky"}], {}, "a class needs an integer id and a name"),
    ([{**SKY, "colour": [1, 2, 3]}], {}, "class 'sky' has the unknown key 'colour'"),
    ([{**SKY, "color": [1, 2]}], {}, r"class 'sky': color must be \[r, g, b\] in 0-255"),
    ([{**SKY, "color": [1, 2, 256]}], {}, "color must be"),
    ([{**SKY, "color": [1, 2, 0.5]}], {}, "color must be"),
    ([{**SKY, "color": "red"}], {}, "color must be"),
    ([{**SKY, "color": 128}], {}, "color must be"),
    ([{**SKY, "raw_ids": 7}], {}, "raw_ids must be integers, found 7"),
    ([{**SKY, "raw_ids": ["7"]}], {}, "raw_ids must be integers"),
    ([{**SKY, "raw_ids": "7"}], {}, "raw_ids must be integers"),
    ([{**SKY, "raw_ids": [7, 7]}], {}, "the source value 7 is claimed twice"),
    ([{**SKY, "raw_ids": None}], {}, "raw_ids must be integers, found None"),
    ([SKY, ROAD], {"threshold": "128"}, "threshold must be an integer, found '128'"),
    ([SKY, ROAD], {"threshold": 0}, "threshold 0 is outside 1 to 65535"),
    ([SKY], {"threshold": 128}, "a threshold parts two classes without raw_ids"),
    ([SKY, {**ROAD, "raw_ids": [9]}], {"threshold": 128}, "a threshold parts two classes"),
]


@pytest.mark.parametrize(("classes", "rest", "message"), PROBLEMS)
def test_a_wrong_label_map_is_told_what_is_wrong(classes, rest, message):
    with pytest.raises(UsageError, match=message) as raised:
        LabelMap.from_dict({"classes": classes, **rest}, "my/labels.json")

    assert str(raised.value).startswith("my/labels.json: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("data", [None, [], 7, "sky", {}, {"classes": None}, {"classes": "sky"}])
def test_what_is_no_label_map_is_told_the_expected_form(data):
    with pytest.raises(UsageError, match=r"expected \{'classes': .*found"):
        LabelMap.from_dict(data)


def test_a_label_map_made_in_python_is_checked_too():
    with pytest.raises(UsageError, match="the id 0 is used twice"):
        LabelMap((LabelClass(0, "a"), LabelClass(0, "b")))


_colors = st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def _label_maps(draw):
    names = draw(
        st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8, unique=True)
    )
    colors = draw(st.lists(_colors, min_size=len(names), max_size=len(names), unique=True))
    raw = draw(st.lists(st.integers(0, 65535), min_size=8, max_size=16, unique=True))
    classes = tuple(
        LabelClass(i, name, color if i % 3 else None, tuple(raw[i :: len(names)]))
        for i, (name, color) in enumerate(zip(names, colors, strict=True))
    )
    return LabelMap(classes, draw(st.integers(len(names), 65535)))


@given(_label_maps())
def test_any_label_map_survives_json(label_map):
    assert LabelMap.from_dict(json.loads(json.dumps(label_map.to_dict()))) == label_map


# Files.


def test_json_and_yaml_files_give_the_same_map(tmp_path):
    data = {"classes": [SKY, ROAD], "ignore_id": 254}
    (tmp_path / "labels.json").write_text(json.dumps(data))
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(data))
    (tmp_path / "labels.yml").write_text(yaml.safe_dump(data))

    maps = [LabelMap.load(tmp_path / f"labels.{s}") for s in ("json", "yaml", "yml")]

    assert maps[0] == maps[1] == maps[2] == _map(SKY, ROAD, ignore_id=254)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"classes": [SKY]}), encoding="utf-8-sig")

    assert LabelMap.load(path).names == ("sky",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.json", b"{", "not valid JSON or YAML"),
        ("labels.yaml", b"a: [", "not valid JSON or YAML"),
        ("labels.yaml", b"!!python/object/apply:os.system ['true']", "not valid JSON or YAML"),
        ("labels.json", b"\xff\xfe\x00", "cannot be read"),
        ("labels.json", b"[" * 100_000, "not valid JSON or YAML"),
        ("labels.yaml", b"", "expected .* found 'None'"),
    ],
)
def test_a_file_that_is_no_label_map_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(UsageError, match=message) as raised:
        LabelMap.load(path)

    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError, match="cannot be read") as raised:
            LabelMap.load(path)
        assert str(path) in str(raised.value)


# CVAT's labelmap.txt.


def test_cvats_file_is_read(tmp_path):
    path = tmp_path / "labelmap.txt"
    path.write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\n\ncar:10, 20 ,30:hood,door:run\n"
    )

    label_map = LabelMap.load(path)

    assert label_map.names == ("background", "car")
    assert [c.color for c in label_map.classes] == [(0, 0, 0), (10, 20, 30)]
    assert label_map.ignore_id == 255


def test_vocs_void_is_ignored_where_cvats_file_lists_it(tmp_path):
    path = tmp_path / "labelmap.txt"
    path.write_text("background:0,0,0::\nignored:224,224,192::\ncar:1,2,3::\n")

    label_map = LabelMap.load(path)

    assert label_map.names == ("background", "car")
    assert label_map.color_to_id == {(0, 0, 0): 0, (1, 2, 3): 1, (224, 224, 192): 255}


def test_ignored_values_and_colours_lead_to_the_ignore_id_and_survive_json():
    data = {
        "classes": [SKY],
        "ignore_id": 9,
        "ignore_raw_ids": [3, 4],
        "ignore_colors": [[1, 2, 3]],
    }

    label_map = LabelMap.from_dict(data)

    assert label_map.raw_to_id == {0: 0, 3: 9, 4: 9, 9: 9}
    assert label_map.color_to_id[1, 2, 3] == 9
    assert label_map.to_dict() == data


def test_invented_colours_are_unlike_the_given_ones():
    label_map = _map(
        {"id": 0, "name": "background"}, {"id": 1, "name": "disc", "color": [255, 0, 0]}
    )
    background, disc = label_map.palette().astype(float)
    assert disc.tolist() == [255, 0, 0]
    assert np.linalg.norm(background - disc) > 90


def test_a_threshold_survives_json():
    label_map = LabelMap((LabelClass(0, "a"), LabelClass(1, "b")), threshold=128)
    assert LabelMap.from_dict(json.loads(json.dumps(label_map.to_dict()))) == label_map


def test_labels_of_annotations_lead_to_classes_and_survive_json():
    data = {"classes": [{**SKY, "raw_names": ["Sky", "cloud"]}, ROAD], "ignore_names": ["blur"]}

    label_map = LabelMap.from_dict(data)

    assert label_map.name_to_id == {"Sky": 0, "cloud": 0, "road": 1, "blur": 255}
    assert LabelMap.from_dict(label_map.to_dict()) == label_map


@pytest.mark.parametrize("line", ["car", "car:::", "car:red::", "car:1,2::", "car:1,2,300::"])
def test_a_wrong_line_of_cvats_file_is_named(tmp_path, line):
    path = tmp_path / "labelmap.txt"
    path.write_text(f"background:0,0,0::\n{line}\n")

    with pytest.raises(UsageError, match=r"labelmap\.txt.*car"):
        LabelMap.load(path)
