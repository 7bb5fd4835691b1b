"""Resizing: no id is invented, image and mask stay on top of each other, nothing moves."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segflow.data import resize
from segflow.data.resize import place, place_whole, resize_image, resize_mask

IGNORED = 65535
_side = st.integers(1, 40)
_size = st.tuples(_side, _side)
_policy = st.sampled_from(["stretch", "letterbox", "crop", "tile"])
_how = st.sampled_from(["nearest", "majority"])
_mask = hnp.arrays(
    np.uint16,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=24),
    elements=st.integers(0, 500),
)


@given(_size, _size)
def test_stretching_fills_the_target(source, target):
    placement = place(source, target, "stretch")

    assert placement.box == (slice(0, target[0]), slice(0, target[1]))


@given(_size, _size)
def test_a_letterbox_touches_two_sides_is_centred_and_keeps_the_aspect_ratio(source, target):
    placement = place(source, target, "letterbox")

    (height, width), (rows, columns) = placement.inner, placement.box
    assert height == target[0] or width == target[1]
    assert 0 <= rows.start <= rows.stop <= target[0]
    assert 0 <= columns.start <= columns.stop <= target[1]
    assert abs(rows.start - (target[0] - rows.stop)) <= 1
    assert abs(columns.start - (target[1] - columns.stop)) <= 1
    scale = min(target[0] / source[0], target[1] / source[1])
    assert abs(height - source[0] * scale) <= 1
    assert abs(width - source[1] * scale) <= 1


def test_a_wide_picture_gets_bars_above_and_below():
    placement = place((100, 200), (60, 80), "letterbox")

    assert placement.inner == (40, 80)
    assert placement.box == (slice(10, 50), slice(0, 80))


@given(_size, _size)
def test_a_crop_fills_the_target_is_centred_and_keeps_the_aspect_ratio(source, target):
    placement = place(source, target, "crop")

    (height, width), (rows, columns) = placement.inner, placement.seen
    assert placement.box == (slice(0, target[0]), slice(0, target[1]))
    assert height == target[0] or width == target[1]
    assert abs(rows.start - (height - rows.stop)) <= 1
    assert abs(columns.start - (width - columns.stop)) <= 1
    scale = max(target[0] / source[0], target[1] / source[1])
    assert abs(height - source[0] * scale) <= 1
    assert abs(width - source[1] * scale) <= 1


def test_a_wide_picture_is_cropped_left_and_right():
    placement = place((100, 300), (60, 80), "crop")

    assert placement.inner == (60, 180)
    assert placement.seen == (slice(0, 60), slice(50, 130))


@given(_mask, _size, _how)
def test_a_crop_is_the_middle_of_the_whole_at_its_scale(mask, target, how):
    placement = place(mask.shape, target, "crop")
    whole = place_whole(mask.shape, target, "crop")
    assume(whole.inner == placement.inner)
    image = np.repeat((mask % 256).astype(np.uint8)[..., None], 3, axis=2)

    cropped = resize_mask(mask, placement, IGNORED, how)
    assert np.array_equal(cropped, resize_mask(mask, whole, IGNORED, how)[placement.seen])
    seen = resize_image(image, whole)[placement.seen].astype(int)
    assert np.abs(resize_image(image, placement) - seen).max() <= 1  # the filter's rounding


def test_a_narrow_strip_is_cropped_without_its_whole_length():
    """At the scale of the crop it would take 16 gigapixels."""
    strip = np.zeros((1, 60_000, 3), np.uint8)

    placement = place((1, 60_000), (512, 512), "crop")

    assert resize_image(strip, placement).shape == (512, 512, 3)
    assert resize_mask(strip[..., 0], placement, IGNORED, "majority").shape == (512, 512)
    assert place_whole((1, 60_000), (512, 512), "crop").inner == (512, 16 * 512)


@given(_mask, _size)
def test_tiles_change_no_pixel(mask, target):
    placement = place(mask.shape, target, "tile")

    resized = resize_mask(mask, placement, IGNORED)[placement.box]

    assert np.array_equal(resized, mask[: target[0], : target[1]])


@given(_mask, _size)
def test_majority_takes_the_id_of_most_area_and_of_equals_the_lowest(mask, target):
    """Against votes by whole numbers: both sizes blown up to their common multiple."""
    (height, width), (rows, columns) = mask.shape, target
    large = mask.repeat(rows, 0).repeat(columns, 1)

    resized = resize_mask(mask, place(mask.shape, target, "stretch"), IGNORED, "majority")

    for row in range(rows):
        for column in range(columns):
            area = large[row * height : (row + 1) * height, column * width : (column + 1) * width]
            assert resized[row, column] == np.bincount(area.ravel()).argmax()


def test_majority_is_the_same_however_many_rows_vote_at_once(monkeypatch):
    mask = np.random.default_rng(0).integers(0, 4, (61, 47), np.uint8)
    placement = place(mask.shape, (17, 13), "crop")
    expected = resize_mask(mask, placement, IGNORED, "majority")

    monkeypatch.setattr(resize, "_VOTED_AT_ONCE", 1)

    assert np.array_equal(resize_mask(mask, placement, IGNORED, "majority"), expected)


def test_the_ignore_id_has_a_vote():
    mask = np.array([[255, 255, 1], [255, 1, 1]], np.uint8)

    resized = resize_mask(mask, place((2, 3), (1, 3), "stretch"), 255, "majority")

    assert resized.tolist() == [[255, 1, 1]]


@given(_mask, _size, _policy, _how)
def test_no_id_is_invented(mask, target, policy, how):
    placement = place(mask.shape, target, policy)

    resized = resize_mask(mask, placement, IGNORED, how)

    assert resized.shape == target
    assert resized.dtype == mask.dtype
    assert set(np.unique(resized[placement.box])) <= set(np.unique(mask))


@given(_mask, _size, _policy)
def test_padding_and_nothing_else_is_ignored(mask, target, policy):
    placement = place(mask.shape, target, policy)

    ignored = resize_mask(mask, placement, IGNORED) == IGNORED

    assert not ignored[placement.box].any()
    assert (~ignored).sum() == np.ones(target)[placement.box].sum()


@given(_mask, _policy)
def test_at_equal_size_nothing_changes(mask, policy):
    image = np.repeat((mask % 256).astype(np.uint8)[..., None], 3, axis=2)
    placement = place(mask.shape, mask.shape, policy)

    assert np.array_equal(resize_mask(mask, placement, IGNORED), mask)
    assert np.array_equal(resize_image(image, placement), image)


@given(_mask, st.integers(1, 5), st.integers(1, 5))
def test_enlarging_by_whole_numbers_repeats_each_pixel(mask, down, right):
    target = (mask.shape[0] * down, mask.shape[1] * right)

    resized = resize_mask(mask, place(mask.shape, target, "stretch"), IGNORED)

    assert np.array_equal(resized, mask.repeat(down, 0).repeat(right, 1))


# A crop may have one pixel more on one side; tiles begin at the top left.
@given(
    _mask,
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(["stretch", "letterbox"]),
)
def test_mirroring_and_resizing_can_be_swapped_but_for_ties(mask, target, policy):
    """Nothing drifts to one side: where the centre hits no edge between pixels, both agree."""
    placement = place(mask.shape, target, policy)
    height, width = placement.inner
    rows, columns = (2 * np.arange(height) + 1) * mask.shape[0], (2 * np.arange(width) + 1)
    sure = (rows % (2 * height) != 0)[:, None] & (columns * mask.shape[1] % (2 * width) != 0)

    resized = resize_mask(mask, placement, IGNORED)[placement.box]
    mirrored = resize_mask(mask[::-1, ::-1], placement, IGNORED)[placement.box][::-1, ::-1]

    assert np.array_equal(resized[sure], mirrored[sure])


@given(
    st.tuples(st.integers(8, 60), st.integers(8, 60)),
    st.tuples(st.integers(8, 60), st.integers(8, 60)),
    _policy,
    st.floats(0.25, 0.75),
    st.booleans(),
)
def test_ids_drawn_into_the_image_are_found_where_the_mask_has_them(
    source, target, policy, share, across
):
    """One straight edge: away from it by a pixel of either grid, image and mask agree."""
    mask = np.zeros(source, np.uint8)
    edge = round(source[across] * share)
    mask[(slice(None), slice(edge, None)) if across else slice(edge, None)] = 1
    placement = place(source, target, policy)

    image = resize_image(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), placement)
    ids = resize_mask(mask, placement, 255)

    inner = placement.inner[across]
    at = placement.box[across].start + edge * inner / source[across]
    centres = np.arange(target[across]) + 0.5
    far = np.abs(centres - at) > 1 + inner / source[across]
    far = np.broadcast_to(far if across else far[:, None], target) & (ids != 255)
    assert np.array_equal(image[far] > 127, np.repeat(ids[far][:, None] == 1, 3, axis=1))


@given(_size, _size)
def test_the_letterbox_of_an_image_is_padded_with_mid_grey(source, target):
    placement = place(source, target, "letterbox")

    padded = resize_image(np.zeros((*source, 3), np.uint8), placement)

    assert padded.shape == (*target, 3)
    assert padded.dtype == np.uint8
    outside = np.ones(target, bool)
    outside[placement.box] = False
    assert (padded[outside] == 128).all()
    assert (padded[~outside] == 0).all()


def test_shrinking_an_image_averages_and_does_not_skip():
    stripes = np.zeros((4, 64, 3), np.uint8)
    stripes[:, ::2] = 200

    shrunk = resize_image(stripes, place((4, 64), (4, 8), "stretch"))

    assert np.abs(shrunk[:, 1:-1].astype(int) - 100).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_keep_their_depth(dtype):
    mask = np.full((3, 3), np.iinfo(dtype).max, dtype)

    assert resize_mask(mask, place((3, 3), (5, 7), "stretch"), 0).dtype == dtype
