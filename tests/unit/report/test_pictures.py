"""Thumbnails and overlays: sizes, colours, exact ids."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segflow.label_map import LabelMap
from segflow.report import pictures

_MAP = LabelMap.from_dict(
    {
        "classes": [
            {"id": 0, "name": "land", "color": [200, 0, 0]},
            {"id": 1, "name": "sea", "color": [0, 0, 200]},
        ],
        "ignore_id": 300,
    }
)


def _pixels(picture: pictures.Picture) -> Any:
    data = base64.b64decode(picture.src.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def _grey(height: int, width: int) -> Any:
    return np.full((height, width, 3), 100, np.uint8)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_thumbnails_are_bounded_and_never_enlarged(height: int, width: int) -> None:
    picture = pictures.photo(_grey(height, width), "x")
    assert max(picture.width, picture.height) == min(max(height, width), pictures.SIDE)
    assert _pixels(picture).shape[:2] == (picture.height, picture.width)


def test_overlay_paints_each_class_in_its_colour_and_lets_the_image_through() -> None:
    ids = np.zeros((40, 40), np.uint16)
    ids[:, 20:] = 1
    pixels = _pixels(pictures.overlay(_grey(40, 40), ids, _MAP, "x", "mask"))
    assert pixels[20, 5] == pytest.approx([155, 45, 45], abs=6)
    assert pixels[20, 35] == pytest.approx([45, 45, 155], abs=6)


def test_ignored_pixels_are_striped_and_not_a_class_colour() -> None:
    ids = np.full((40, 40), 300, np.uint16)
    pixels = _pixels(pictures.overlay(_grey(40, 40), ids, _MAP, "x", "mask"))
    assert np.ptp(pixels, axis=-1).max() < 12  # grey
    assert np.ptp(pixels[20, :, 0]) > 40  # light and dark stripes


def test_mask_of_another_size_follows_the_image() -> None:
    ids = np.zeros((4, 8), np.uint8)
    ids[:, 4:] = 1
    pixels = _pixels(pictures.overlay(_grey(100, 200), ids, _MAP, "x", "mask"))
    assert pixels[50, 20, 0] > pixels[50, 20, 2]
    assert pixels[50, 180, 2] > pixels[50, 180, 0]


def test_errors_mark_wrong_pixels_but_not_ignored_ones() -> None:
    truth = np.zeros((60, 60), np.uint16)
    truth[:20] = 300
    prediction = np.zeros((60, 60), np.uint8)
    prediction[:, 30:] = 1
    pixels = _pixels(pictures.errors(_grey(60, 60), truth, prediction, _MAP, "x"))
    red = pixels[..., 0] - pixels[..., 1] > 100
    assert red[25:, 35:].all()
    assert not red[:15].any()
    assert not red[:, :25].any()


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_mask_alone_keeps_its_shape(height: int, width: int) -> None:
    picture = pictures.mask(np.ones((height, width), np.uint8), _MAP, "x", "labels")
    assert max(picture.width, picture.height) == min(max(height, width), pictures.SIDE)
    assert picture.width == pytest.approx(width * picture.height / height, abs=width / height + 1)
    assert _pixels(picture)[0, 0] == pytest.approx([0, 0, 200], abs=6)


def test_comparison_shows_image_truth_prediction_and_errors() -> None:
    ids = np.zeros((8, 8), np.uint8)
    card = pictures.comparison("a <b>", ["mIoU 1"], _grey(8, 8), ids, ids, _MAP)
    assert [p.label for p in card.pictures] == ["image", "truth", "prediction", "errors"]
    assert all("a <b>" in p.alt for p in card.pictures)


def test_noise_can_be_shown():
    noise = np.random.default_rng(0).integers(0, 256, (200, 220, 3), np.uint8)
    assert pictures.photo(noise, "noise", "", 220).src.startswith("data:image/jpeg")
