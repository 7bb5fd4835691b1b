"""Colours and class files of exported masks."""

import pytest

from segflow.errors import UsageError
from segflow.export.classes import distinct_colors, exported_label_map, labelmap_txt
from segflow.export.trees import voc_tree
from segflow.label_map import VOC_VOID, LabelClass, LabelMap


def _classes(count: int) -> LabelMap:
    return LabelMap(tuple(LabelClass(i, f"class {i}") for i in range(count)), ignore_id=65535)


def test_given_colours_are_kept_and_the_others_differ_from_all():
    given = LabelMap(
        (
            LabelClass(0, "a"),
            LabelClass(1, "b", tuple(_classes(1).palette()[0].tolist())),
            LabelClass(2, "c", (1, 2, 3)),
        )
    )
    colors = distinct_colors(given)
    assert colors[1:] == [given.classes[1].color, (1, 2, 3)]
    assert len(set(colors)) == 3


def test_a_thousand_classes_have_a_thousand_colours_and_none_is_void():
    colors = distinct_colors(_classes(1000))
    assert len(set(colors)) == 1000
    assert VOC_VOID not in colors


def test_classes_come_back_from_labelmap_txt(tmp_path):
    label_map = LabelMap((LabelClass(0, "it's a road", (9, 8, 7)), LabelClass(1, "Größe, #2")))
    colors = distinct_colors(label_map)
    (tmp_path / "labelmap.txt").write_bytes(labelmap_txt(label_map, colors, "--format cvat"))

    found = LabelMap.load(tmp_path / "labelmap.txt")

    assert found.names == label_map.names
    assert [c.color for c in found.classes] == colors


@pytest.mark.parametrize("name", ["a:b", "#1", "two\nlines", "a\u2028b"])
def test_a_name_that_labelmap_txt_cannot_hold_is_refused(name):
    label_map = LabelMap((LabelClass(0, name),))
    with pytest.raises(UsageError, match="cannot be written to labelmap"):
        labelmap_txt(label_map, distinct_colors(label_map), "--format cvat")


def test_vocs_void_is_no_classs_colour():
    label_map = LabelMap((LabelClass(0, "border", VOC_VOID),))
    with pytest.raises(UsageError, match="which means void"):
        labelmap_txt(label_map, distinct_colors(label_map), "--format voc")


def test_voc_holds_255_classes(tmp_path):
    voc_tree(tmp_path, _classes(255))
    with pytest.raises(UsageError, match="--format voc: holds 255 classes, found 256"):
        voc_tree(tmp_path, _classes(256))


def test_values_that_begin_at_1_leave_0_to_what_nobody_has_drawn():
    label_map = _classes(300)
    exported = exported_label_map(label_map, distinct_colors(label_map), 1)
    assert exported.raw_to_id == {0: 65535, 65535: 65535} | {i + 1: i for i in range(300)}
    assert exported_label_map(label_map, distinct_colors(label_map)).raw_to_id[299] == 299
