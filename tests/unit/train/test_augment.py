"""Online augmentation: image and mask move together, no id is invented."""

import numpy as np
import pytest
import tensorflow as tf

from segflow.train.augment import augment
from segflow.train.config import AugmentationConfig

IGNORE = 255
GEOMETRY = AugmentationConfig(
    flip_horizontal=0.5, flip_vertical=0.5, rotation=40, zoom=(0.5, 2.0), brightness=0, contrast=0
)
STILL = AugmentationConfig(
    flip_horizontal=0, flip_vertical=0, rotation=0, zoom=(1, 1), brightness=0, contrast=0
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


def test_zooming_out_leaves_ignored_pixels_around_the_picture():
    config = AugmentationConfig(**{**STILL.__dict__, "zoom": (0.5, 0.5)})
    _, moved = _apply(np.zeros((24, 32, 3)), np.ones((24, 32), np.int32), 0, config)
    inside = moved[6:18, 8:24]
    assert (inside == 1).all()
    assert (moved == 1).sum() == inside.size
    assert set(np.unique(moved)) == {1, IGNORE}


def test_zooming_in_enlarges_about_the_centre():
    mask = np.zeros((24, 32), np.int32)
    mask[10:14, 14:18] = 1
    config = AugmentationConfig(**{**STILL.__dict__, "zoom": (2.0, 2.0)})
    _, moved = _apply(np.zeros((24, 32, 3)), mask, 0, config)
    assert np.argwhere(moved == 1).min(0).tolist() == [8, 12]
    assert np.argwhere(moved == 1).max(0).tolist() == [15, 19]


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
