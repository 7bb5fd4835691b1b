import numpy as np
import pytest
from PIL import Image

from segflow import scores
from segflow.drawing import LABEL_MAP, Scene, draw_scene
from segflow.drawing import scenes as scenes_module


def _scenes(count: int) -> list[Scene]:
    return [draw_scene(128, 160, np.random.default_rng(seed)) for seed in range(count)]


def test_equal_seeds_give_equal_scenes_and_other_seeds_other_ones():
    first, again = (draw_scene(40, 50, np.random.default_rng(7)) for _ in range(2))
    other = draw_scene(40, 50, np.random.default_rng(8))

    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.mask != other.mask).any()


@pytest.mark.parametrize("size", [(128, 160), (16, 16), (300, 201)])
def test_image_and_mask_have_the_size_that_was_asked_for(size):
    scene = draw_scene(*size, np.random.default_rng(0))

    assert scene.image.shape == (*size, 3)
    assert scene.mask.shape == size
    assert scene.image.dtype == scene.mask.dtype == np.uint8


def test_masks_hold_every_class_and_the_ignored_border_and_nothing_else():
    masks = np.stack([scene.mask for scene in _scenes(20)])

    assert set(np.unique(masks)) == {*range(LABEL_MAP.num_classes), LABEL_MAP.ignore_id}
    shares = np.bincount(masks.ravel(), minlength=256) / masks.size
    assert 0.3 < shares[0] < 0.9
    assert shares[1 : LABEL_MAP.num_classes].min() > 0.01


def test_a_border_lies_between_any_two_classes():
    for scene in _scenes(10):
        for a, b in (
            (scene.mask[:, 1:], scene.mask[:, :-1]),
            (scene.mask[1:], scene.mask[:-1]),
        ):
            touching = (a != b) & (a != LABEL_MAP.ignore_id) & (b != LABEL_MAP.ignore_id)
            assert not touching.any()


def test_the_border_is_about_two_pixels_wide_at_any_size():
    """Two pixels of outline: its share of the picture falls as the picture grows."""
    small, large = (
        np.mean([(draw_scene(h, w, np.random.default_rng(s)).mask == 255).mean() for s in range(8)])
        for h, w in ((64, 80), (256, 320))
    )
    assert small / large == pytest.approx(4, rel=0.2)


def test_colour_alone_does_not_tell_the_classes_apart():
    truth = np.stack([scene.mask for scene in _scenes(20)])
    guess = np.stack([_classify_by_hue(scene.image) for scene in _scenes(20)])

    confusion = scores.confusion_matrix(truth, guess, LABEL_MAP.num_classes, LABEL_MAP.ignore_id)

    assert scores.mean_iou(confusion) < 0.7


def _classify_by_hue(image: np.ndarray) -> np.ndarray:
    hue, saturation, _ = np.moveaxis(np.asarray(Image.fromarray(image).convert("HSV")), 2, 0)
    classes = LABEL_MAP.num_classes - 1
    nearest = (np.rint(hue / 256 * classes).astype(int) - 1) % classes + 1
    return np.where(saturation > 90, nearest, 0)


@pytest.mark.parametrize("sides", [3, 4, 5, 9])
def test_distance_to_a_regular_polygon_is_exact_along_its_axes(sides):
    line = np.linspace(-60, 60, 241, dtype=np.float32)
    frame = scenes_module._Frame(line[None], np.zeros((1, 241), np.float32), 30)

    distance = scenes_module._polygon(frame, np.full(sides, 30.0))[0]

    inradius = 30 * np.cos(np.pi / sides)
    outside = line >= 30  # beyond the corner on the positive axis, the corner is nearest
    np.testing.assert_allclose(distance[outside], line[outside] - 30, atol=1e-3)
    assert distance[line == 0] == pytest.approx(-inradius, abs=1e-3)


@pytest.mark.parametrize("hue", [0.0, 0.1, 0.35, 0.5, 0.77, 0.99, 1.3, -0.2])
def test_colours_agree_with_the_standard_library(hue):
    from colorsys import hsv_to_rgb

    expected = np.array(hsv_to_rgb(hue % 1, 0.6, 0.8)) * 255
    np.testing.assert_allclose(scenes_module._rgb(hue, 0.6, 0.8), expected, atol=1e-3)
