"""Augmented pixels: image and mask through one geometry, no id invented."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segflow.data.augment import Augmentation
from segflow.data.augment_pixels import apply
from tests.unit.data.augmented import COLOUR, CUTOUT, GEOMETRY, IGNORED, augmentations, scene

GREY = 128


def _flat(color: tuple[int, int, int] = (100, 50, 200)) -> tuple[np.ndarray, np.ndarray]:
    return np.full((8, 8, 3), color, np.uint8), np.ones((8, 8), np.uint8)


def test_the_defaults_change_nothing():
    image, mask = scene()

    new_image, new_mask = apply(Augmentation(), image, mask, IGNORED)

    assert np.array_equal(new_image, image)
    assert np.array_equal(new_mask, mask)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flip_horizontal": True}, lambda a: a[:, ::-1]),
        ({"flip_vertical": True}, lambda a: a[::-1]),
        ({"flip_horizontal": True, "flip_vertical": True}, lambda a: a[::-1, ::-1]),
        ({"rotation": 90.0}, lambda a: np.rot90(a)),
        ({"rotation": -90.0}, lambda a: np.rot90(a, -1)),
        ({"rotation": 180.0}, lambda a: a[::-1, ::-1]),
    ],
)
def test_flips_and_quarter_turns_move_every_pixel_to_its_place(changes, expected):
    image, mask = scene(160, 160)  # of more rows than are moved at once

    new_image, new_mask = apply(Augmentation(**changes), image, mask, IGNORED)

    assert np.array_equal(new_mask, expected(mask))
    # Pillow drops the fraction of what the sine of 180 degrees leaves: one grey value at most.
    assert np.abs(new_image.astype(int) - expected(image)).max() <= ("rotation" in changes)


def test_zooming_out_leaves_an_ignored_grey_border():
    image, mask = np.full((20, 20, 3), 90, np.uint8), np.ones((20, 20), np.uint8)

    new_image, new_mask = apply(Augmentation(zoom=0.5), image, mask, IGNORED)

    assert (new_mask[5:15, 5:15] == 1).all()
    assert (new_mask == IGNORED).sum() == 300
    assert (new_image[new_mask == IGNORED] == GREY).all()
    assert (new_image[6:14, 6:14] == 90).all()


def test_a_crop_fills_the_picture_with_its_part():
    image, mask = scene(20, 40)

    new_image, new_mask = apply(Augmentation(crop=(0.25, 0.5, 0.5)), image, mask, IGNORED)

    expected = mask[10:20, 10:30].repeat(2, 0).repeat(2, 1)
    assert np.array_equal(new_mask, expected)
    assert np.mean(new_image[..., 0] == expected * 100) > 0.6


def test_shear_slants_vertical_lines_and_keeps_horizontal_ones():
    image, mask = np.zeros((41, 41, 3), np.uint8), np.zeros((41, 41), np.uint8)
    mask[:, 20], mask[20] = 1, 2

    _, sheared = apply(Augmentation(shear=45.0), image, mask, IGNORED)

    assert (sheared[20] == 2).all()
    assert abs(int(np.argmax(sheared[10] == 1)) - int(np.argmax(sheared[30] == 1))) == 20


@given(st.fixed_dictionaries(GEOMETRY))
def test_ids_drawn_into_the_image_are_found_where_the_mask_has_them(changes):
    image, mask = scene()
    # Between two ids the image blends: these pixels are marked by an odd number, and left out.
    around = np.lib.stride_tricks.sliding_window_view(np.pad(mask, 1, "edge"), (3, 3))
    blends = (around != mask[..., None, None]).any((2, 3))

    new_image, marked = apply(Augmentation(**changes), image, mask * 2 + blends, IGNORED)

    sure = marked % 2 == 0
    assume(sure.any())
    assert np.array_equal(new_image[sure, 0], marked[sure] // 2 * 100)


@given(st.fixed_dictionaries(COLOUR))
def test_what_only_changes_the_image_leaves_the_mask(changes):
    image, mask = scene()

    new_image, new_mask = apply(Augmentation(**changes), image, mask, IGNORED)

    assert np.array_equal(new_mask, mask)
    assert (new_image.dtype, new_image.shape) == (image.dtype, image.shape)


@given(st.fixed_dictionaries(CUTOUT))
def test_a_hole_is_grey_in_the_image_and_ignored_in_the_mask(changes):
    image, mask = scene()

    new_image, new_mask = apply(Augmentation(**changes), image, mask, IGNORED)

    hole = new_mask == IGNORED
    assert (new_image[hole] == GREY).all()
    assert np.array_equal(new_mask[~hole], mask[~hole])
    assert np.array_equal(new_image[~hole], image[~hole])


def test_a_hole_has_its_place_and_size():
    _, mask = apply(Augmentation(cutout=(0.25, -0.1, 0.5)), *scene(20, 40), IGNORED)

    rows, columns = np.nonzero(mask == IGNORED)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 7, 10, 29)


@given(augmentations, st.integers(0, 2**32 - 1))
def test_no_id_is_invented_and_16_bit_ids_survive(augmentation, seed):
    mask = np.random.default_rng(seed).choice(np.array([0, 300, 40_000], np.uint16), (16, 20))
    image = np.zeros((16, 20, 3), np.uint8)

    _, moved = apply(augmentation, image, mask, 65535)

    assert moved.dtype == np.uint16
    assert moved.shape == mask.shape
    assert set(np.unique(moved)) <= {0, 300, 40_000, 65535}


@given(augmentations)
def test_what_the_record_says_gives_equal_bytes_and_leaves_the_source(augmentation):
    image, mask = scene()
    before = image.copy(), mask.copy()

    first = apply(augmentation, image, mask, IGNORED)
    second = apply(Augmentation.from_json(augmentation.to_json()), image, mask, IGNORED)

    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert np.array_equal(before[0], image)
    assert np.array_equal(before[1], mask)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"brightness": 0.5}, [50, 25, 100]),
        ({"brightness": 2.0}, [200, 100, 255]),
        ({"saturation": 0.0}, [82, 82, 82]),
        ({"grey": True}, [82, 82, 82]),
        ({"contrast": 0.0}, [82, 82, 82]),
        ({"hue": 360.0}, [100, 50, 200]),
        ({"brightness": 0.5, "contrast": 0.5, "saturation": 2.0}, [50, 25, 100]),
    ],
)
def test_colours_change_as_asked_for(changes, expected):
    new_image, _ = apply(Augmentation(**changes), *_flat(), IGNORED)

    assert np.abs(new_image[0, 0].astype(int) - expected).max() <= 1


def test_contrast_keeps_the_mean_and_widens_the_distance_from_it():
    image, mask = scene()

    new_image, _ = apply(Augmentation(contrast=1.2), image // 2 + 50, mask, IGNORED)

    old = (image // 2 + 50).astype(float)
    assert abs(new_image.mean() - old.mean()) < 1
    assert abs(new_image.std() / old.std() - 1.2) < 0.02


def test_a_turn_of_hue_makes_red_green_and_leaves_greys():
    red, _ = apply(Augmentation(hue=-120.0), *_flat((180, 60, 60)), IGNORED)
    green, _ = apply(Augmentation(hue=120.0), *_flat((180, 60, 60)), IGNORED)
    grey, _ = apply(Augmentation(hue=77.0), *_flat((90, 90, 90)), IGNORED)

    assert red[0, 0].argmax() != green[0, 0].argmax()
    assert {int(red[0, 0].argmax()), int(green[0, 0].argmax())} == {1, 2}
    assert (grey == 90).all()


def test_noise_is_as_strong_as_asked_for_and_another_with_another_seed():
    image, mask = np.full((64, 64, 3), (100, 110, 120), np.uint8), np.zeros((64, 64), np.uint8)
    noisy = Augmentation(noise=10.0, noise_seed=1)

    first, other = (apply(a, image, mask, 255)[0] for a in (noisy, replace(noisy, noise_seed=2)))

    difference = first.astype(float) - image
    assert 9.7 < difference.std() < 10.3
    assert abs(difference.mean()) < 0.5
    assert not np.array_equal(first, other)


def test_a_grey_picture_gets_grey_noise():
    image, mask = np.full((16, 16, 3), 100, np.uint8), np.zeros((16, 16), np.uint8)

    noisy, _ = apply(Augmentation(noise=10.0, brightness=1.1), image, mask, IGNORED)

    assert (noisy == noisy[..., :1]).all()
    assert noisy.std() > 5


def test_blur_smooths_and_jpeg_leaves_its_artefacts():
    image, mask = scene()

    blurred, _ = apply(Augmentation(blur=2.0), image, mask, IGNORED)
    squeezed, _ = apply(Augmentation(jpeg=10), image, mask, IGNORED)

    steps = [np.abs(np.diff(a[..., 0].astype(int), axis=1)).max() for a in (image, blurred)]
    assert steps[1] < steps[0] / 2
    assert 0 < np.abs(squeezed.astype(int) - image).mean() < 20
