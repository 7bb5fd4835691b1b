"""Drawings: what lies on top, what is background, and what is refused."""

import json

import numpy as np
import pytest

from segflow.data import annotations
from segflow.data.annotations import ADE20K, Drawing, MaskSource, mask_of, panoptic
from segflow.data.annotations.shapes import rectangle
from segflow.data.config import DecodeLimits
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelMap
from tests.unit.data.pictures import LIMITS, encode

LABELS = LabelMap.from_dict(
    {
        "classes": [
            {"id": 0, "name": "ground", "raw_ids": [0]},
            {"id": 1, "name": "car", "raw_ids": [7]},
            {"id": 2, "name": "wheel", "raw_ids": [9], "raw_names": ["wheel", "tyre"]},
        ],
        "ignore_names": ["blur"],
    }
)
BIG, SMALL = rectangle(0, 0, 6, 4), rectangle(1, 1, 3, 3)


def _draw(drawing: Drawing, limits: DecodeLimits = LIMITS) -> np.ndarray:
    source = MaskSource(lambda: b"", (4, 6), LABELS, limits)
    return mask_of(drawing.to_json(), source)


def test_later_objects_lie_on_top():
    assert _draw(Drawing([(7, BIG), (9, SMALL)]))[1].tolist() == [1, 2, 2, 1, 1, 1]
    assert (_draw(Drawing([(9, SMALL), (7, BIG)])) == 1).all()


def test_largest_first_keeps_small_objects_in_sight_in_any_order():
    for objects in ([(7, BIG), (9, SMALL)], [(9, SMALL), (7, BIG)]):
        assert _draw(Drawing(objects, largest_first=True))[1].tolist() == [1, 2, 2, 1, 1, 1]


def test_of_equal_areas_the_later_lies_on_top():
    assert (_draw(Drawing([(7, BIG), (9, BIG)], largest_first=True)) == 2).all()


def test_what_no_object_covers_is_background_or_ignored():
    assert _draw(Drawing([(9, SMALL)], background=0))[0].tolist() == [0] * 6
    assert _draw(Drawing([(9, SMALL)]))[0].tolist() == [255] * 6


def test_names_are_looked_up_in_the_label_map():
    mask = _draw(Drawing([("car", BIG), ("tyre", SMALL)], background="ground"))
    assert mask[1].tolist() == [1, 2, 2, 1, 1, 1]
    assert (_draw(Drawing([("blur", BIG)])) == 255).all()


def test_a_label_that_no_class_claims_rejects_the_mask():
    with pytest.raises(RejectError, match="labels that no class claims: 8, bus") as caught:
        _draw(Drawing([(8, BIG), ("bus", SMALL), (7, BIG)]))
    assert caught.value.code == RejectCode.UNKNOWN_LABEL


def test_a_background_that_no_class_claims_matters_only_where_it_shows():
    assert (_draw(Drawing([(7, BIG)], background=3)) == 1).all()
    with pytest.raises(RejectError, match="no class claims: 3"):
        _draw(Drawing([(7, SMALL)], background=3))


def test_the_size_is_the_annotations_own_and_capped():
    assert _draw(Drawing([], (2, 3))).shape == (2, 3)
    for size in ((10, 11), (0, 5), (10**9, 10**9)):
        with pytest.raises(RejectError) as caught:
            _draw(Drawing([], size), DecodeLimits(max_pixels=100))
        assert caught.value.code == RejectCode.TOO_LARGE


def test_a_drawing_that_takes_too_long_is_given_up():
    drawing = Drawing([(7, rectangle(0, 0, 1000, 1000))] * 1000, (1000, 1000))

    with pytest.raises(RejectError, match=r"drawing \d+ of 1000 objects took longer than 0.001 s \("
                       "--limits.decode-seconds") as caught:  # fmt: skip
        _draw(drawing, DecodeLimits(decode_seconds=0.001))
    assert caught.value.code == RejectCode.DECODER_TIMEOUT


def test_an_impossible_shape_rejects_the_mask_and_names_the_label():
    with pytest.raises(RejectError, match=r"label 7 cannot be drawn: .*add up to 3") as caught:
        _draw(Drawing([(7, {"size": [4, 6], "counts": [3]})]))
    assert caught.value.code == RejectCode.UNREADABLE
    for shape in ({"polygons": 5}, {"polygons": [None]}, {"counts": [24]}, {}):
        with pytest.raises(RejectError):
            _draw(Drawing([(7, shape)]))


def _segments(ids: list[list[int]]) -> bytes:
    values = np.array(ids)
    channels = (values & 255, values >> 8 & 255, values >> 16)
    return encode(np.stack(channels, -1).astype(np.uint8), "PNG")


def _source(data: bytes, label_map: LabelMap = LABELS) -> MaskSource:
    return MaskSource(lambda: data, (1, 3), label_map, LIMITS)


def test_panoptic_segments_become_their_categories_and_void_is_ignored():
    mask = mask_of(panoptic({70000: 7, 258: 9}), _source(_segments([[70000, 0, 258]])))
    assert mask.tolist() == [[1, 255, 2]]


def test_a_segment_without_a_category_and_a_category_without_a_class_are_rejected():
    data = _segments([[70000, 5, 258]])
    with pytest.raises(RejectError, match=r"segment ids that no class claims: 5 \(1 of 3 pixels\)"):
        mask_of(panoptic({70000: 7, 258: 9}), _source(data))
    with pytest.raises(RejectError, match="categories that no class claims: 8"):
        mask_of(panoptic({70000: 8, 258: 9, 5: 7}), _source(data))


def test_ade20ks_code_is_tens_of_red_times_256_plus_green():
    label_map = LabelMap.from_dict(
        {"classes": [{"id": 0, "name": "a", "raw_ids": [1831]}], "ignore_raw_ids": [0]}
    )
    data = encode(np.array([[[71, 39, 1], [0, 0, 0], [79, 39, 200]]], np.uint8), "PNG")

    assert mask_of(ADE20K, _source(data, label_map)).tolist() == [[0, 255, 0]]
    assert annotations.raw_values(data, LIMITS).tolist() == [[1831, 0, 1831]]


@pytest.mark.parametrize("annotation", [ADE20K, panoptic({})])
def test_coded_masks_must_be_in_colour(annotation):
    grey = encode(np.zeros((1, 3), np.uint8), "PNG")
    with pytest.raises(RejectError, match="expected an RGB file"):
        mask_of(annotation, _source(grey))


def test_annotations_are_compact_json():
    drawing = Drawing([(7, BIG), ("car", SMALL)], (4, 6), 0, largest_first=True)
    assert " " not in drawing.to_json()
    assert Drawing.from_dict(json.loads(drawing.to_json())) == drawing
