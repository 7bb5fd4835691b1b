"""Label maps found or drafted: a draft reads the masks that it was drawn from."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data.labels import find_label_map, require_label_map
from segflow.data.layouts import SourcePaths
from segflow.data.layouts.camvid import CamVid
from segflow.data.layouts.paired import Paired
from segflow.errors import RejectError, UsageError
from segflow.label_map import LabelClass, LabelMap
from tests.unit.data.pictures import LIMITS, decode_mask, encode, palette_image

PATHS = SourcePaths("images", "masks")
VALUES = LabelMap((LabelClass(0, "a"), LabelClass(1, "b")))
COLORS = LabelMap((LabelClass(0, "a", (0, 0, 0)), LabelClass(1, "b", (255, 0, 0))))


def _rows(folder: Path, *masks: bytes) -> list[dict]:
    rows = []
    for number, data in enumerate(masks):
        path = folder / f"{number}.png"
        path.write_bytes(data)
        rows.append({"mask_uri": str(path)})
    return rows


def _complaint(rows: list[dict], label_map: LabelMap | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        require_label_map(label_map, rows, LIMITS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _draft(message: str) -> LabelMap:
    """The label map at the end of the message, read as a user would who saved it."""
    return LabelMap.from_dict(json.loads(message[message.index('{"classes"') :]))


def test_the_label_map_given_wins_over_the_layouts(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(VALUES.to_dict()))

    assert find_label_map(str(path), CamVid(), PATHS) == VALUES
    assert find_label_map(None, CamVid(), PATHS).num_classes == 11
    assert find_label_map(None, Paired(), PATHS) is None


def test_a_missing_label_map_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"missing\.json"):
        find_label_map(str(tmp_path / "missing.json"), CamVid(), PATHS)


def test_a_fitting_label_map_is_taken(tmp_path):
    grey, colored = np.array([[0, 1]], np.uint8), np.array([[[255, 0, 0]]], np.uint8)

    assert require_label_map(VALUES, _rows(tmp_path, encode(grey, "PNG")), LIMITS) is VALUES
    assert require_label_map(COLORS, _rows(tmp_path, encode(colored, "PNG")), LIMITS) is COLORS


def test_colour_masks_need_colours(tmp_path):
    colored = np.array([[[255, 0, 0], [0, 9, 0]]], np.uint8)

    message = _complaint(_rows(tmp_path, encode(colored, "PNG")), VALUES)

    assert "colour-coded (the colours rgb(0,9,0), rgb(255,0,0))" in message
    assert "'color'" in message


def test_grey_masks_stored_as_rgb_need_no_colours(tmp_path):
    grey = np.repeat(np.array([[0, 1]], np.uint8)[..., None], 3, axis=2)

    assert require_label_map(VALUES, _rows(tmp_path, encode(grey, "PNG")), LIMITS) is VALUES


def test_without_a_label_map_the_values_are_listed(tmp_path):
    masks = [encode(np.array([row], np.uint8), "PNG") for row in ([0, 1], [2, 255])]

    message = _complaint(_rows(tmp_path, *masks))

    assert "the 2 masks looked at hold the values 0, 1, 2, 255" in message
    assert "--label-map" in message
    assert [c.raw_ids for c in _draft(message).classes] == [(), (), ()]
    assert _draft(message).ignore_id == 255


def test_without_a_label_map_the_colours_are_listed(tmp_path):
    message = _complaint(_rows(tmp_path, encode(COLORS.palette()[None], "PNG")))

    assert "the colours rgb(0,0,0), rgb(255,0,0)" in message
    assert [c.color for c in _draft(message).classes] == [(0, 0, 0), (255, 0, 0)]


def test_masks_of_nothing_and_white_are_two_classes(tmp_path):
    """As of cells on black: 255 is what is drawn, not what is ignored."""
    data = encode(np.array([[0, 255]], np.uint8), "PNG")

    draft = _draft(_complaint(_rows(tmp_path, data)))

    assert decode_mask(data, draft, LIMITS).tolist() == [[0, 1]]


def test_masks_with_smoothed_outlines_are_drafted_with_a_threshold(tmp_path):
    values = np.zeros((20, 20), np.uint8)
    values[:, 10:] = 250
    values[0, 5:15] = np.arange(1, 11) * 20
    data = encode(values, "PNG")

    draft = _draft(_complaint(_rows(tmp_path, data)))

    assert draft.threshold == 125
    assert decode_mask(data, draft, LIMITS).tolist() == (values >= 125).astype(int).tolist()


def test_palette_masks_are_listed_by_index(tmp_path):
    message = _complaint(_rows(tmp_path, encode(palette_image([[0, 1]], [9] * 6), "PNG")))

    assert "the values 0, 1;" in message


def test_masks_that_cannot_be_read_are_no_draft_but_a_reason(tmp_path):
    message = _complaint(_rows(tmp_path, b"no mask", b""))

    assert "none of the 2 masks looked at can be read" in message
    assert "not an image" in message
    assert "classes" not in message


def test_masks_that_cannot_be_read_are_left_to_the_job_where_there_is_a_label_map(tmp_path):
    assert require_label_map(VALUES, _rows(tmp_path, b"no mask"), LIMITS) is VALUES


def test_one_readable_mask_is_enough_for_a_draft(tmp_path):
    message = _complaint(_rows(tmp_path, b"no mask", encode(np.array([[3]], np.uint8), "PNG")))

    assert _draft(message).raw_to_id == {3: 0, 255: 255}


@pytest.mark.parametrize("count", [2, 64, 151, 254])
def test_a_draft_holds_all_classes_of_usual_data_sets(tmp_path, count):
    data = encode(np.arange(count, dtype=np.uint8)[None], "PNG")

    draft = _draft(_complaint(_rows(tmp_path, data)))

    assert decode_mask(data, draft, LIMITS).tolist() == [list(range(count))]


def test_of_too_many_colours_the_message_says_how_many_more(tmp_path):
    pixels = np.stack([np.arange(3000) % 256, np.arange(3000) // 256, np.arange(3000) % 7], -1)

    message = _complaint(_rows(tmp_path, encode(pixels[None].astype(np.uint8), "PNG")))

    found = re.search(r"and (\d+) more", message)
    assert found is not None
    assert int(found[1]) + message.count("rgb(") == 3000
    assert all(c.color is not None for c in _draft(message).classes)


@given(
    st.sets(st.integers(0, 255), min_size=1, max_size=256)
    | st.sets(st.integers(0, 65535), min_size=1, max_size=40)
)
def test_a_draft_reads_the_masks_it_was_drawn_from(tmp_path_factory, values):
    data = encode(np.array([sorted(values)], np.uint16), "PNG")

    draft = _draft(_complaint(_rows(tmp_path_factory.mktemp("masks"), data)))

    mask = decode_mask(data, draft, LIMITS)[0].tolist()
    assert len(set(mask)) == len(values)
    assert set(mask) <= {*range(draft.num_classes), draft.ignore_id}


@given(st.sets(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=80))
def test_a_draft_of_colours_reads_the_masks_it_was_drawn_from(tmp_path_factory, colors):
    data = encode(np.array([sorted(colors)], np.uint8), "PNG")

    draft = _draft(_complaint(_rows(tmp_path_factory.mktemp("masks"), data)))

    assert decode_mask(data, draft, LIMITS).tolist() == [list(range(len(colors)))]


def test_values_that_no_label_map_can_name_are_said_to_be_so(tmp_path):
    data = encode(np.array([[1, 70_000]], np.int32), "TIFF")

    message = _complaint(_rows(tmp_path, data))

    assert "70000" in message
    assert _draft(message).raw_to_id == {1: 0, 255: 255}
    with pytest.raises(RejectError):
        decode_mask(data, _draft(message), LIMITS)
