"""Augmented copies: every choice from a seed, image and mask through one geometry."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segflow.data.augment import Augmentation, apply, choose
from segflow.data.config import AugmentationConfig

IGNORED = 255
IDENTITY = Augmentation(
    mirror=False,
    upside_down=False,
    rotation=0.0,
    zoom=1.0,
    brightness=1.0,
    contrast=1.0,
    saturation=1.0,
)
CONFIG = AugmentationConfig(flip_vertical=0.5, rotation=90, zoom=(0.5, 2.0))


def _changed(**choices: object) -> Augmentation:
    return Augmentation(**{**vars(IDENTITY), **choices})


def _scene(height: int = 30, width: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Three ids in lopsided regions, and the same ids as grey values of an image."""
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 3, : width // 2] = 1
    mask[height // 2 :, width // 4 : width // 2] = 2
    return np.repeat((mask * 100)[..., None], 3, axis=2), mask


def test_one_seed_gives_one_choice_and_other_keys_others():
    assert choose(CONFIG, 1, "a", 1) == choose(CONFIG, 1, "a", 1)

    choices = {choose(CONFIG, s, k, v) for s in (1, 2) for k in ("a", "b") for v in (1, 2)}
    assert len(choices) == 8


def test_a_choice_is_the_same_on_every_machine():
    """Written down: a dataset made today must come out the same tomorrow."""
    chosen = choose(AugmentationConfig(), 7, "street/0001", 1)

    assert (chosen.mirror, chosen.upside_down) == (False, False)
    assert chosen.rotation == pytest.approx(4.568827235)
    assert chosen.zoom == pytest.approx(0.9579409967)
    assert chosen.brightness == pytest.approx(1.0750762978)


@given(st.integers(), st.text(), st.integers(1, 100))
def test_choices_stay_within_the_config(seed, key, variant):
    config = AugmentationConfig(
        flip_horizontal=0, rotation=30, zoom=(0.5, 1.5), brightness=0.1, contrast=0, saturation=1
    )

    chosen = choose(config, seed, key, variant)

    assert not chosen.mirror
    assert -30 <= chosen.rotation <= 30
    assert 0.5 <= chosen.zoom <= 1.5
    assert 0.9 <= chosen.brightness <= 1.1
    assert chosen.contrast == 1
    assert 0 <= chosen.saturation <= 2


def test_flips_happen_as_often_as_asked_for():
    chosen = [choose(AugmentationConfig(flip_horizontal=0.25), 0, str(i), 1) for i in range(800)]

    assert 0.2 < np.mean([c.mirror for c in chosen]) < 0.3
    assert not any(c.upside_down for c in chosen)


def test_enlarging_and_shrinking_are_as_likely():
    config = AugmentationConfig(zoom=(0.5, 2.0))
    zooms = [choose(config, 0, str(i), 1).zoom for i in range(800)]

    assert 0.45 < np.mean([zoom > 1 for zoom in zooms]) < 0.55


def test_the_identity_changes_nothing():
    image, mask = _scene()

    new_image, new_mask = apply(IDENTITY, image, mask, IGNORED)

    assert np.array_equal(new_image, image)
    assert np.array_equal(new_mask, mask)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"mirror": True}, lambda a: a[:, ::-1]),
        ({"upside_down": True}, lambda a: a[::-1]),
        ({"mirror": True, "upside_down": True}, lambda a: a[::-1, ::-1]),
        ({"rotation": 90.0}, lambda a: np.rot90(a)),
        ({"rotation": -90.0}, lambda a: np.rot90(a, -1)),
        ({"rotation": 180.0}, lambda a: a[::-1, ::-1]),
    ],
)
def test_flips_and_quarter_turns_move_every_pixel_to_its_place(choices, expected):
    image, mask = _scene(32, 32)

    new_image, new_mask = apply(_changed(**choices), image, mask, IGNORED)

    assert np.array_equal(new_mask, expected(mask))
    # Pillow drops the fraction of what the sine of 180 degrees leaves: one grey value at most.
    assert np.abs(new_image.astype(int) - expected(image)).max() <= ("rotation" in choices)


def test_zooming_out_leaves_an_ignored_black_border():
    image, mask = np.full((20, 20, 3), 90, np.uint8), np.ones((20, 20), np.uint8)

    new_image, new_mask = apply(_changed(zoom=0.5), image, mask, IGNORED)

    assert (new_mask[5:15, 5:15] == 1).all()
    assert (new_mask == IGNORED).sum() == 300
    assert (new_image[new_mask == IGNORED] == 0).all()
    assert (new_image[6:14, 6:14] == 90).all()


@given(
    mirror=st.booleans(),
    upside_down=st.booleans(),
    rotation=st.floats(-180, 180),
    zoom=st.floats(0.4, 2.5),
)
def test_ids_drawn_into_the_image_are_found_where_the_mask_has_them(**choices):
    image, mask = _scene()

    new_image, new_mask = apply(_changed(**choices), image, mask, IGNORED)

    around = np.lib.stride_tricks.sliding_window_view(new_mask, (5, 5))
    new_image, new_mask = new_image[2:-2, 2:-2, 0], new_mask[2:-2, 2:-2]
    sure = (around == new_mask[..., None, None]).all((2, 3)) & (new_mask != IGNORED)
    assume(sure.any())
    assert np.array_equal(new_image[sure], new_mask[sure] * 100)


@given(st.integers(), st.integers(1, 9))
def test_no_id_is_invented_and_16_bit_ids_survive(seed, variant):
    rng = np.random.default_rng(seed % 2**32)
    mask = rng.choice(np.array([0, 300, 40_000], np.uint16), (16, 20))
    image = np.zeros((16, 20, 3), np.uint8)

    _, moved = apply(choose(CONFIG, seed, "a", variant), image, mask, 65535)

    assert moved.dtype == np.uint16
    assert moved.shape == mask.shape
    assert set(np.unique(moved)) <= {0, 300, 40_000, 65535}


def test_one_choice_gives_one_result():
    image, mask = _scene()
    chosen = choose(CONFIG, 3, "a", 1)

    first, second = (apply(chosen, image, mask, IGNORED) for _ in range(2))

    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"brightness": 0.5}, [50, 25, 100]),
        ({"brightness": 2.0}, [200, 100, 255]),
        ({"saturation": 0.0}, [82, 82, 82]),
        ({"contrast": 0.0}, [82, 82, 82]),
    ],
)
def test_colours_change_in_the_image_alone(choices, expected):
    image, mask = np.full((4, 4, 3), (100, 50, 200), np.uint8), np.ones((4, 4), np.uint8)

    new_image, new_mask = apply(_changed(**choices), image, mask, IGNORED)

    assert np.abs(new_image[0, 0].astype(int) - expected).max() <= 1
    assert np.array_equal(new_mask, mask)
