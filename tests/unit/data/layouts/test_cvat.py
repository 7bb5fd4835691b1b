"""CVAT: shapes of the XML in z order, the mask export, and hostile XML."""

import numpy as np
import pytest

from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.cvat import Cvat
from segflow.errors import UsageError
from tests.unit.data.layouts import trees

SQUARE = '<polygon label="car" points="0,0;3,0;3,2;0,2" z_order="{}"/>'
BOX = '<box label="road" xtl="0" ytl="0" xbr="6" ybr="1" z_order="{}"/>'
META = """<meta><task><labels>
<label><name>road</name><color>#804080</color></label><label><name>car</name></label>
</labels></task></meta>"""


def _image(*shapes, name="a.png", attributes='height="4" width="6"'):
    return f'<image id="0" name="{name}" {attributes}>{"".join(shapes)}</image>'


def _set(root, *images, header='<?xml version="1.0" encoding="utf-8"?>'):
    trees.draw(root, ("images/a.png",))
    text = f"{header}<annotations><version>1.1</version>{META}{''.join(images)}</annotations>"
    trees.write(root / "annotations.xml", text)
    return root


def _masks(root, tmp_path):
    (tmp_path / "out").mkdir(exist_ok=True)
    return trees.verdicts(Cvat(), root, tmp_path / "out")


def test_shapes_are_drawn_by_z_order_and_later_ones_lie_on_top(tmp_path):
    for number, (first, second, top) in enumerate([(0, 1, 1), (1, 0, 2), (0, 0, 1)]):
        root = _set(tmp_path / f"set{number}", _image(SQUARE.format(first), BOX.format(second)))
        mask = _masks(root, tmp_path)["a"]
        assert mask[0] == [top] * 3 + [1] * 3
        assert mask[1:] == [[2, 2, 2, 0, 0, 0], [0] * 6, [0] * 6]


def test_masks_ellipses_and_turned_boxes_are_drawn_and_lines_are_not(tmp_path):
    shapes = (
        '<mask label="car" rle="1, 2, 1" left="0" top="0" width="2" height="2" z_order="0"/>',
        '<ellipse label="road" cx="5" cy="3" rx="1" ry="1" z_order="0"/>',
        '<box label="car" xtl="3" ytl="0" xbr="5" ybr="1" rotation="90" z_order="0"/>',
        '<polyline label="car" points="0,0;6,4" z_order="0"/>',
        '<points label="nothing" points="1,1" z_order="0"/>',
        '<tag label="car"/>',
    )
    mask = _masks(_set(tmp_path / "set", _image(*shapes)), tmp_path)["a"]

    assert mask[0][:2] == [0, 2]
    assert mask[1][:2] == [2, 0]
    assert [row[4:] for row in mask[2:]] == [[1, 1], [1, 1]]
    turned = np.argwhere(np.array(mask)[:2, 3:] == 2)
    assert set(turned[:, 1]) <= {0, 1}  # stands upright in columns 3 and 4
    assert np.array(mask)[:2, 5].tolist() == [0, 0]


def test_the_label_map_has_background_and_the_labels_with_their_colours(tmp_path):
    label_map = Cvat().label_map(SourcePaths(str(_set(tmp_path))))
    assert label_map.names == ("background", "road", "car")
    assert label_map.classes[1].color == (128, 64, 128)


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ('<polygon label="bus" points="0,0;3,0;3,2"/>', "unknown_label"),
        ('<polygon label="car" points="0,0;3,zero;3,2"/>', "unreadable"),
        ('<polygon label="car" points="0,0;3"/>', "unreadable"),
        ('<polygon label="car" points="0,0;nan,0;3,2"/>', "unreadable"),
        ('<polygon label="car"/>', "unreadable"),
        ('<polygon label="car" points="0,0;3,0;3,2" z_order="top"/>', "unreadable"),
        ('<box label="car" xtl="0"/>', "unreadable"),
        ('<mask label="car" rle="1, 9" left="0" top="0" width="2" height="2"/>', "unreadable"),
        ('<mask label="car" rle="4" left="0" top="0" width="1e9" height="1e9"/>', "unreadable"),
        ('<mask label="car" rle="4" left="inf" top="0" width="2" height="2"/>', "unreadable"),
        ('<ellipse label="car" cx="1" cy="1" rx="0" ry="1"/>', "unreadable"),
    ],
)
def test_a_broken_shape_costs_its_image_only(tmp_path, shape, code):
    root = _set(tmp_path / "set", _image(shape), _image(BOX.format(0), name="b.png"))
    trees.draw(root, ("images/b.png",))

    found = _masks(root, tmp_path)

    assert found["a"] == code
    assert found["b"][0] == [1] * 6


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ('height="5" width="6"', "size_mismatch"),
        ('height="100000" width="100000"', "too_large"),
        ('height="-1" width="6"', "too_large"),
        ('width="6"', "unreadable"),
    ],
)
def test_a_size_that_cannot_be_is_rejected(tmp_path, attributes, code):
    root = _set(tmp_path / "set", _image(attributes=attributes))
    assert _masks(root, tmp_path)["a"] == code


def test_subsets_are_splits_and_images_missing_or_outside_are_rejected(tmp_path):
    root = _set(
        tmp_path / "set",
        _image(attributes='height="4" width="6" subset="Validation"'),
        _image(attributes='height="4" width="6" subset="default"'),
        _image(name="gone.png"),
        _image(name="../../secret.png"),
    )
    trees.draw(root, ("images/Validation/a.png",))
    (tmp_path / "out").mkdir()

    rows = {r["key"]: r for r in trees.plan(Cvat(), SourcePaths(str(root)), tmp_path / "out")}

    assert rows["Validation/a"]["split"] == "val"
    assert rows["Validation/a"]["image_uri"] == str(root / "images/Validation/a.png")
    assert rows["a"]["split"] == "train"  # by hash
    assert rows["gone"]["code"] == "missing_image"
    assert rows["../../secret"]["code"] == "outside_root"


def test_the_mask_export_is_read_like_voc_with_its_own_label_map(tmp_path):
    root = trees.draw(tmp_path / "set", ("JPEGImages/a.png",))
    trees.save(root / "SegmentationClass/a.png", np.full((*trees.SIZE, 3), 9, np.uint8))
    trees.write(root / "labelmap.txt", "background:0,0,0::\ncar:9,9,9::\n")
    trees.write(root / "ImageSets/Segmentation/default.txt", "a\n")

    layout, why = find_layout("auto", SourcePaths(str(root)))

    assert (layout.name, why) == ("cvat", "it holds SegmentationClass/ and labelmap.txt")
    assert _masks(root, tmp_path) == {"a": np.ones(trees.SIZE, int).tolist()}


HOSTILE = {
    "swells": '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    "reads": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "fetches": '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">',
}


@pytest.mark.parametrize("doctype", HOSTILE.values(), ids=HOSTILE)
def test_a_document_type_is_refused_before_any_entity_is_known(tmp_path, doctype):
    root = _set(tmp_path, _image(name="&a;"), header=doctype)
    with pytest.raises(UsageError, match=r"annotations\.xml: .* a document type \(DTD\)"):
        list(Cvat().sources(SourcePaths(str(root))))
    with pytest.raises(UsageError, match="a document type"):
        Cvat().label_map(SourcePaths(str(root)))


def test_broken_and_video_xml_are_usage_errors(tmp_path):
    for text, why in (
        ("<annotations><image", "cannot be read"),
        ('<annotations><track id="0"></track></annotations>', "for video; choose 'CVAT for images"),
        ("<annotations>&nope;</annotations>", "undefined entity"),
    ):
        trees.write(tmp_path / "annotations.xml", text)
        with pytest.raises(UsageError, match=why):
            list(Cvat().sources(SourcePaths(str(tmp_path))))


def test_many_images_stream_through_in_order(tmp_path):
    names = [f"{i}.png" for i in range(20_000)]
    root = _set(tmp_path, *(_image(SQUARE.format(0), name=name) for name in names))

    images = (s for s in Cvat().sources(SourcePaths(str(root))) if s.role == "image")

    assert [source.key for source in images] == [name.removesuffix(".png") for name in names]


def test_auto_recognises_the_xml_and_without_it_says_what_it_expects(tmp_path):
    trees.write(tmp_path / "other/note.xml", "<note/>")
    layout, why = find_layout("auto", SourcePaths(str(_set(tmp_path / "set"))))
    assert (layout.name, why) == ("cvat", "annotations.xml holds CVAT's annotations")
    with pytest.raises(UsageError, match=r"expected annotations\.xml .* found neither"):
        list(Cvat().sources(SourcePaths(str(tmp_path / "other"))))
