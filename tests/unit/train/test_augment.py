"""Online augmentation: image and mask move together, no id is invented."""

import numpy as np
import pytest
import tensorflow as tf

from segflow.train.augment import augment
from segflow.train.augment_config import AugmentationConfig

IGNORE = 255
COLOURLESS = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
GEOMETRY = AugmentationConfig(
    flip_horizontal=0.5, flip_vertical=0.5, rotation=40, zoom=(0.5, 2.0), **COLOURLESS
)
STILL = AugmentationConfig(
    flip_horizontal=0, flip_vertical=0, rotation=0, zoom=(1, 1), **COLOURLESS
)


def _blocks(ids: list[int], size: tuple[int, int] = (24, 32)) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.choice(ids, (size[0] // 8, size[1] // 8))
    return coarse.repeat(8, 0).repeat(8, 1).astype(np.int32)


def _apply(image, mask, seed, config):
    changed, moved = augment(
        tf.constant(image, tf.float32), tf.constant(mask), tf.constant([seed, 1]), config, IGNORE
    )
    return changed.numpy(), moved.numpy()


@pytest.mark.parametrize("seed", range(12))
def test_image_and_mask_move_together(seed):
    """Where all four pixels that the image is mixed from have one id, it must be the mask's."""
    mask = _blocks([0, 1, 2, 3])
    image = np.repeat(mask[..., np.newaxis] * 60.0, 3, -1)
    changed, moved = _apply(image, mask, seed, GEOMETRY)
    pure = (moved != IGNORE) & np.isin(changed[..., 0], [0.0, 60.0, 120.0, 180.0])
    inside = moved != IGNORE
    assert pure[inside].mean() > 0.5
    np.testing.assert_array_equal(changed[pure][:, 0], moved[pure] * 60.0)
    assert np.abs(changed[inside][:, 0] - moved[inside] * 60.0).max() <= 180.0 * 0.75


@pytest.mark.parametrize("ids", [[0, 7, 200], [0, 300, 40000]])
@pytest.mark.parametrize("seed", range(6))
def test_no_id_is_invented(ids, seed):
    mask = _blocks(ids)
    _, moved = _apply(np.zeros((24, 32, 3)), mask, seed, GEOMETRY)
    assert set(np.unique(moved)) <= {*ids, IGNORE}


def test_nothing_changes_when_nothing_may():
    rng = np.random.default_rng(1)
    image, mask = rng.integers(0, 256, (24, 32, 3)).astype(np.float32), _blocks([0, 1, 2])
    changed, moved = _apply(image, mask, 3, STILL)
    np.testing.assert_array_equal(changed, image)
    np.testing.assert_array_equal(moved, mask)


@pytest.mark.parametrize(
    ("flips", "slices"),
    [
        ({"flip_horizontal": 1.0}, np.s_[:, ::-1]),
        ({"flip_vertical": 1.0}, np.s_[::-1]),
        ({"flip_horizontal": 1.0, "flip_vertical": 1.0}, np.s_[::-1, ::-1]),
    ],
)
def test_a_flip_is_exact(flips, slices):
    rng = np.random.default_rng(2)
    image, mask = rng.integers(0, 256, (23, 32, 3)).astype(np.float32), _blocks([0, 1, 2])[:23]
    config = AugmentationConfig(**{**STILL.__dict__, **flips})
    changed, moved = _apply(image, mask, 3, config)
    np.testing.assert_array_equal(changed, image[slices])
    np.testing.assert_array_equal(moved, mask[slices])


def test_zooming_out_shows_the_whole_picture_somewhere_among_ignored_pixels():
    config = AugmentationConfig(**{**STILL.__dict__, "zoom": (0.5, 0.5)})
    corners = set()
    for seed in range(40):
        _, moved = _apply(np.zeros((24, 32, 3)), np.ones((24, 32), np.int32), seed, config)
        assert set(np.unique(moved)) == {1, IGNORE}
        first, last = np.argwhere(moved == 1).min(0), np.argwhere(moved == 1).max(0)
        assert (last - first + 1 >= (11, 15)).all() and (last - first + 1 <= (13, 17)).all()
        assert (moved[first[0] : last[0] + 1, first[1] : last[1] + 1] == 1).all()
        corners.add(tuple(first))
    places = np.array(sorted(corners))
    assert places.min(0).tolist() <= [2, 2] and places.max() > 10


def test_zooming_in_shows_a_random_part_and_nothing_from_outside():
    rows, columns = np.mgrid[:24, :32]
    mask = (32 * rows + columns).astype(np.int32)
    config = AugmentationConfig(**{**STILL.__dict__, "zoom": (2.0, 2.0)})
    seen = np.zeros(mask.size, bool)
    for seed in range(40):
        _, moved = _apply(np.zeros((24, 32, 3)), mask, seed, config)
        assert (moved < mask.size).all(), "a pixel from outside"
        height, width = (np.ptp(axis(moved)) + 1 for axis in (lambda m: m // 32, lambda m: m % 32))
        assert 12 <= height <= 13 and 16 <= width <= 17
        seen[moved.ravel()] = True
    assert seen.mean() > 0.85, "the same part each time would be a quarter"


LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601


def test_saturation_leaves_grey_alone_and_keeps_the_luma():
    rng = np.random.default_rng(4)
    image, mask = rng.uniform(100, 150, (8, 8, 3)), np.zeros((8, 8), np.int32)
    grey = np.repeat(image[..., :1], 3, -1)
    config = AugmentationConfig(**{**STILL.__dict__, "saturation": 0.9})
    factors = []
    for seed in range(20):
        np.testing.assert_allclose(_apply(grey, mask, seed, config)[0], grey, atol=0.2)
        changed, _ = _apply(image, mask, seed, config)
        chroma = image - (image @ LUMA)[..., np.newaxis]
        factor = float(((changed - image + chroma) * chroma).sum() / (chroma**2).sum())
        np.testing.assert_allclose(changed, image + (factor - 1) * chroma, atol=0.2)
        factors.append(factor)
    assert 0.1 <= min(factors) < 0.5 and 1.5 < max(factors) <= 1.9


def test_hue_turns_colours_and_keeps_luma_and_grey():
    image = np.full((4, 4, 3), (160.0, 110.0, 110.0))
    config = AugmentationConfig(**{**STILL.__dict__, "hue": 0.5})
    changed = np.stack(
        [_apply(image, np.zeros((4, 4), np.int32), s, config)[0][0, 0] for s in range(20)]
    )
    np.testing.assert_allclose(changed @ LUMA, image[0, 0] @ LUMA, atol=0.2)
    assert len(set(changed.argmax(1))) == 3, "some turned to green, some to blue"
    grey = np.full((4, 4, 3), 90.0)
    np.testing.assert_allclose(_apply(grey, np.zeros((4, 4), np.int32), 1, config)[0], 90, atol=0.2)


def test_a_rotation_turns_by_at_most_its_limit():
    rows, columns = np.mgrid[:41, :41] - 20
    mask = ((np.abs(rows) <= 1) & (columns > 5)).astype(np.int32)
    config = AugmentationConfig(**{**STILL.__dict__, "rotation": 30.0})
    angles = []
    for seed in range(30):
        _, moved = _apply(np.zeros((41, 41, 3)), mask, seed, config)
        row, column = (np.argwhere(moved == 1) - 20).mean(0)
        angles.append(np.degrees(np.arctan2(row, column)))
    assert max(np.abs(angles)) <= 31
    assert min(angles) < -15 and max(angles) > 15


def test_colour_changes_the_image_alone_and_stays_in_range():
    image, mask = np.full((8, 8, 3), 200.0), np.zeros((8, 8), np.int32)
    image[:4] = 100
    config = AugmentationConfig(**{**STILL.__dict__, "brightness": 0.5, "contrast": 0.9})
    results = [_apply(image, mask, seed, config) for seed in range(20)]
    assert all((moved == mask).all() for _, moved in results)
    assert all(changed.min() >= 0 and changed.max() <= 255 for changed, _ in results)
    differences = [float(changed[7, 0, 0] - changed[0, 0, 0]) for changed, _ in results]
    assert max(differences) > 130 and min(differences) < 70


def test_equal_seeds_give_equal_examples_and_others_do_not():
    image, mask = np.random.default_rng(3).uniform(0, 255, (16, 16, 3)), _blocks([0, 1])[:16, :16]
    config = AugmentationConfig()
    first, again, other = (_apply(image, mask, seed, config)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
