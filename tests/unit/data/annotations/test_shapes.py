"""Shapes: pixel for pixel as pycocotools, and impossible ones are a ValueError, never a crash."""

import base64
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from segflow.data.annotations import shapes
from segflow.data.annotations.shapes import rectangle
from segflow.data.config import DecodeLimits
from tests.unit.data.pictures import LIMITS, encode

SIZE = (13, 17)

_coordinate = st.one_of(st.integers(-30, 30), st.floats(-30, 30, width=32))
_ring = st.lists(_coordinate, min_size=6, max_size=16).filter(lambda ring: len(ring) % 2 == 0)
_masks = st.integers(0, 2**32).map(
    lambda seed: np.random.default_rng(seed).random(SIZE) < (seed % 5 + 1) / 6
)


def shape_mask(
    shape: dict[str, object], size: tuple[int, int], limits: DecodeLimits = LIMITS
) -> np.ndarray:
    """The shape on the full frame."""
    region = shapes.draw_shape(shape, size, limits)
    mask = np.zeros(size, bool)
    mask[region.place] = region.mask
    return mask


def _png_shape(part: np.ndarray, left: int, top: int) -> dict[str, object]:
    return {"png": base64.b64encode(encode(part, "PNG")).decode(), "box": [left, top]}


def _reference(rings: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    """As COCO.annToMask does it."""
    return coco.decode(coco.merge(coco.frPyObjects(rings, *size))).astype(bool)


def _column_runs(mask: np.ndarray) -> list[int]:
    """Uncompressed COCO counts, computed by hand."""
    counts, last = [0], False
    for value in mask.ravel(order="F"):
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


@given(st.lists(_ring, min_size=1, max_size=3))
def test_polygons_are_drawn_as_pycocotools_draws_them(rings):
    np.testing.assert_array_equal(shape_mask({"polygons": rings}, SIZE), _reference(rings, SIZE))


@st.composite
def _somewhere(draw: st.DrawFn) -> tuple[list[list[float]], tuple[int, int]]:
    """Small rings anywhere in or beside a larger image, often where pycocotools must round."""
    size = draw(st.tuples(st.integers(1, 400), st.integers(1, 400)))
    left, top = draw(st.integers(-40, size[1])), draw(st.integers(-40, size[0]))
    step = draw(st.sampled_from([0.1, 0.2, 0.5, 1, 1 / 3]))
    rings = draw(st.lists(_ring, min_size=1, max_size=3))
    corner = np.array([left, top] * 8)
    return [(np.array(r) * step + corner[: len(r)]).tolist() for r in rings], size


@settings(max_examples=500)
@given(_somewhere())
def test_polygons_anywhere_are_those_of_the_full_frame(drawn):
    rings, size = drawn
    np.testing.assert_array_equal(shape_mask({"polygons": rings}, size), _reference(rings, size))


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(*[st.floats(-90, 90)] * 2, *[st.floats(0.01, 90)] * 2, st.floats(-400, 400)),
)
def test_ellipses_are_those_of_the_full_frame(size, ellipse):
    x, y, radius_x, radius_y, degrees = ellipse
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    right, down = np.arange(size[1]) + 0.5 - x, np.arange(size[0])[:, None] + 0.5 - y
    along, across = (right * cos + down * sin) / radius_x, (down * cos - right * sin) / radius_y

    drawn = shape_mask({"ellipse": list(ellipse)}, size)

    np.testing.assert_array_equal(drawn, along * along + across * across <= 1)


FRAME = (6000, 7000)
RUNS = [3_000_000, 4, 5996, 4, 38_993_996]  # two columns of 4 pixels


@pytest.mark.parametrize(
    "shape",
    [
        {"polygons": [[5000, 5000, 5010, 5000, 5005, 5010]]},
        {"ellipse": [5000, 5000, 5, 3, 30]},
        {"size": FRAME, "counts": RUNS},
        {"runs": [20, 80], "box": [5000, 4000, 10, 10]},
        _png_shape(np.full((9, 9), 255, np.uint8), 6990, 5990),
    ],
)
def test_a_small_shape_in_a_large_image_costs_little(shape):
    shapes.draw_shape(shape, FRAME, LIMITS)  # a decoder process starts
    tracemalloc.start()
    region = shapes.draw_shape(shape, FRAME, LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert region.mask.any()
    assert region.mask.size <= 200
    assert peak < 100_000


def test_an_ellipse_over_a_whole_large_image_is_drawn_a_part_at_a_time():
    tracemalloc.start()
    region = shapes.draw_shape({"ellipse": [1500, 1000, 9000, 9000, 10]}, (2000, 3000), LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert region.mask.all()
    assert region.mask.shape == (2000, 3000)
    assert peak < 8 * region.mask.size  # less than one array of float64


@given(_masks)
def test_run_lengths_mean_what_pycocotools_means(mask):
    compressed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    for counts in (compressed, _column_runs(mask)):
        drawn = shape_mask({"size": list(SIZE), "counts": counts}, SIZE)
        np.testing.assert_array_equal(drawn, mask)


def test_long_runs_survive_compression():
    mask = np.zeros((600, 700), np.uint8)
    mask[17:401, 3:650] = 1
    counts = coco.encode(np.asfortranarray(mask))["counts"].decode()

    np.testing.assert_array_equal(shape_mask({"size": [600, 700], "counts": counts}, (600, 700)),
                                  mask.astype(bool))  # fmt: skip


def test_a_polygon_given_as_points_is_the_same():
    flat, points = [1, 1, 9, 2, 4, 10], [[1, 1], [9, 2], [4, 10]]
    np.testing.assert_array_equal(
        shape_mask({"polygons": [points]}, SIZE), shape_mask({"polygons": [flat]}, SIZE)
    )


def test_a_box_covers_the_pixels_within():
    mask = shape_mask(rectangle(2, 3, 5, 7), SIZE)

    assert mask.sum() == 12
    assert mask[3:7, 2:5].all()


@pytest.mark.parametrize("ring", [[], [3, 4], [1, 1, 9, 9], [20, 20, 40, 20, 40, 40]])
def test_what_has_no_area_inside_draws_nothing(ring):
    assert not shape_mask({"polygons": [ring]}, SIZE).any()


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9, 1e18, 1e300])
def test_a_polygon_that_reaches_far_outside_is_cut_off(far):
    ring = [-far, -far, far, -far, far, 6, -far, 6]

    mask = shape_mask({"polygons": [ring]}, SIZE)

    assert mask[:6].all()
    assert not mask[6:].any()


def test_a_cut_polygon_is_what_pycocotools_draws_of_the_whole():
    """A triangle whose corners lie 20 image sizes away: within pycocotools' range, cut by us."""
    ring = [-340.0, -340.0, 340.0, -340.0, 8.0, 340.0]
    np.testing.assert_array_equal(shape_mask({"polygons": [ring]}, SIZE), _reference([ring], SIZE))


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ({"polygons": [[1, 2, 3]]}, "x, y, x, y"),
        ({"polygons": [[1, 2, 3, 4, 5, math.nan]]}, "no number"),
        ({"polygons": [[1, 2, 3, 4, 5, math.inf]]}, "no number"),
        ({"polygons": [["a", 2, 3, 4, 5, 6]]}, "could not convert"),
        ({"polygons": [[0, 0, 60, 60] * 200_000]}, "an outline of"),
        ({"polygons": [[0, 0, 60, 60] * 20_000] * 2}, "an outline of 4800000 pixels"),
        ({"size": [13, 17], "counts": [5, 1000]}, "more than the 221 pixels"),
        ({"size": [13, 17], "counts": [221, 221]}, "add up to 442, expected 221"),
        ({"size": [13, 17], "counts": [2]}, "add up to 2, expected 221"),
        ({"size": [13, 17], "counts": []}, "add up to 0"),
        ({"size": [13, 17], "counts": [-1, 222]}, "negative"),
        ({"size": [13, 17], "counts": [220.5, 0.5]}, "integers"),
        ({"size": [13, 17], "counts": [[221]]}, "integers"),
        ({"size": [13, 17], "counts": [2**62, 2**62, 2**62, 2**62, 221]}, "more than"),
        ({"size": [17, 13], "counts": [221]}, "for 17x13, in an image of 13x17"),
        ({"size": [10**9, 10**9], "counts": [1]}, "in an image of 13x17"),
        ({"size": [13, 17], "counts": "o"}, "cut off"),
        ({"size": [13, 17], "counts": "oooooooooooooooooooooooo0"}, "not COCO's compressed form"),
        ({"size": [13, 17], "counts": "\x00"}, "not COCO's compressed form"),
        ({"size": [13, 17], "counts": "é"}, "ascii"),
        ({"runs": [4], "box": [0, 0, 10**6, 10**6]}, "a box of 1000000 x 1000000"),
        ({"runs": [4], "box": [0, 0, 0, 4]}, "a box of 0 x 4"),
        ({"runs": [3], "box": [0, 0, 2, 2]}, "add up to 3, expected 4"),
        ({"ellipse": [1, 1, 0, 4, 0]}, "radii above 0"),
        ({"ellipse": [1, math.nan, 1, 4, 0]}, "centre"),
        ({"png": "QUJD", "box": [0, 0]}, "its mask is broken"),
        ({"png": "%", "box": [0, 0]}, "base64"),
        ({"circle": []}, "no known shape"),
    ],
)
def test_an_impossible_shape_is_a_value_error(shape, why):
    with pytest.raises(ValueError, match=why):
        shape_mask(shape, SIZE)


def test_boxed_runs_go_row_by_row_and_are_cut_off_at_the_image():
    shape = {"runs": [1, 2, 1, 2], "box": [15, 11, 3, 2]}  # rows 011 and 011

    mask = shape_mask(shape, SIZE)

    assert np.argwhere(mask).tolist() == [[11, 16], [12, 16]]


def test_a_box_that_lies_outside_draws_nothing():
    assert not shape_mask({"runs": [0, 4], "box": [-9, 40, 2, 2]}, SIZE).any()


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_a_png_mask_is_placed_at_its_corner(mode):
    part = np.zeros((3, 2, 3), np.uint8)
    part[1:] = 255
    picture = part if mode == "RGB" else part[..., 0] > 0 if mode == "1" else part[..., 0]

    mask = shape_mask(_png_shape(picture, -1, 2), SIZE)

    assert np.argwhere(mask).tolist() == [[3, 0], [4, 0]]


def test_a_png_mask_in_an_image_of_48_megapixels_is_drawn():
    mask = shape_mask(_png_shape(np.full((2, 3), 255, np.uint8), 5, 7), (8000, 6000))

    assert mask.sum() == 6
    assert mask[7:9, 5:8].all()


def test_a_png_mask_keeps_to_the_users_limits():
    shape = _png_shape(np.full((2, 3), 255, np.uint8), 0, 0)

    assert shape_mask(shape, SIZE, DecodeLimits(max_pixels=6)).sum() == 6
    with pytest.raises(ValueError, match=r"its mask is broken: .*--limits.max-pixels"):
        shape_mask(shape, SIZE, DecodeLimits(max_pixels=5))


def test_a_png_mask_is_decoded_within_the_users_seconds(monkeypatch):
    seen = []
    monkeypatch.setattr(
        shapes.contained,
        "decode_raw_mask",
        lambda _, limits: seen.append(limits) or np.zeros((2, 3), np.uint8),
    )

    shape_mask(_png_shape(np.zeros((2, 3), np.uint8), 0, 0), SIZE, DecodeLimits(100, 200, 0.5))

    assert seen == [DecodeLimits(100, 200, 0.5)]


def test_an_ellipse_has_the_area_of_one_and_turns_clockwise():
    upright = shape_mask({"ellipse": [50, 50, 30, 10, 0]}, (100, 100))
    turned = shape_mask({"ellipse": [50, 50, 30, 10, 45]}, (100, 100))

    assert upright.sum() == pytest.approx(math.pi * 300, rel=0.02)
    assert upright[50, 25]
    assert not upright[25, 50]
    assert turned[65, 65]  # down and to the right
    assert not turned[35, 65]
