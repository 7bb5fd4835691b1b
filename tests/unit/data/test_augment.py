"""The choices of an augmented copy: every one from a seed, recorded and read back."""

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data.augment import Augmentation, choose, strongest
from segflow.data.augment_config import PRESETS, AugmentationConfig
from tests.unit.data.augmented import augmentations, scene

STRONG = AugmentationConfig(preset="strong")
MASK = scene()[1]


def _choose(config=STRONG, seed=0, key="a", variant=1, mask=MASK, classes=3) -> Augmentation:
    return choose(config, seed, key, variant, mask, classes)


def _always(**ranges: object) -> AugmentationConfig:
    return AugmentationConfig(preset="none", **ranges)


def test_one_seed_gives_one_choice_and_other_keys_others():
    assert _choose() == _choose()

    choices = {_choose(seed=s, key=k, variant=v) for s in (1, 2) for k in "ab" for v in (1, 2)}
    assert len(choices) == 8


def test_a_choice_is_the_same_on_every_machine():
    """Written down: a dataset made today must come out the same tomorrow."""
    chosen = [_choose(STRONG, 7, "street/0001", variant).to_json() for variant in (1, 8)]

    assert chosen == [
        '{"brightness":1.05909,"contrast":0.893794,"crop":[0.276932,0.656818,0.343182],'
        '"cutout":[0.36733,0.803843,0.290293],"noise":1.992685,"noise_seed":3126318147,'
        '"rotation":-20.096273}',
        '{"brightness":0.735192,"contrast":1.195787,"crop":[0.057643,0.355988,0.644012],'
        '"flip_horizontal":true,"hue":-18.201476,"rotation":-6.18415,"saturation":1.421999,'
        '"zoom":1.877836}',
    ]


def test_an_operation_that_is_turned_off_leaves_the_others_as_they_were():
    without = AugmentationConfig(preset="strong", brightness_probability=0)

    for number in range(20):
        whole, less = (_choose(config, key=str(number)) for config in (STRONG, without))
        assert {**vars(whole), "brightness": 1.0} == vars(less)


@given(st.integers(), st.text(), st.integers(1, 100), st.sampled_from(sorted(PRESETS)))
def test_choices_stay_within_the_config(seed, key, variant, preset):
    config = AugmentationConfig(preset=preset)
    chosen = _choose(config, seed, key, variant)

    defaults = {f.name: f.default for f in fields(Augmentation)}
    for name, value in vars(chosen).items():
        operation = config.operations.get(name)
        if name == "noise_seed" or value == defaults[name]:
            continue
        assert operation is not None
        if name in ("brightness", "contrast", "saturation"):
            value -= 1
        at = value[2] if isinstance(value, tuple) else value
        assert operation.low - 1e-6 <= at <= operation.high + 1e-6


def test_an_operation_happens_as_often_as_asked_for():
    config = AugmentationConfig(preset="none", flip_horizontal=0.25, hue=5.0, hue_probability=0.5)
    chosen = [_choose(config, key=str(i)) for i in range(800)]

    assert 0.2 < np.mean([c.flip_horizontal for c in chosen]) < 0.3
    assert 0.45 < np.mean([c.hue != 0 for c in chosen]) < 0.55
    assert not any(c.flip_vertical for c in chosen)


def test_enlarging_and_shrinking_are_as_likely():
    config = _always(zoom=(0.5, 2.0))
    zooms = [_choose(config, key=str(i)).zoom for i in range(800)]

    assert 0.45 < np.mean([zoom > 1 for zoom in zooms]) < 0.55


def test_a_crop_lies_inside_the_picture_and_is_of_the_size_asked_for():
    crops = [_choose(_always(crop=(0.2, 0.8)), key=str(i)).crop for i in range(200)]

    for left, top, side in crops:
        assert 0.2 <= side <= 0.8
        assert min(left, top) >= 0
        assert max(left, top) + side <= 1 + 1e-6
    assert min(side for _, _, side in crops) < 0.3 < 0.7 < max(side for _, _, side in crops)


def _share_that_see(mask: np.ndarray, row: int, column: int, rarity: float) -> float:
    config = _always(crop=(0.25, 0.25), crop_rarity=rarity)
    y, x = (row + 0.5) / mask.shape[0], (column + 0.5) / mask.shape[1]
    crops = [_choose(config, key=str(i), mask=mask).crop for i in range(400)]
    seen = [left <= x <= left + side and top <= y <= top + side for left, top, side in crops]
    return float(np.mean(seen))


def test_crops_favour_a_rare_class_the_more_the_higher_the_rarity():
    mask = np.zeros((40, 40), np.uint8)
    mask[30, 9] = 1  # one pixel in 1600

    shares = [_share_that_see(mask, 30, 9, rarity) for rarity in (0.0, 1.0, 2.0)]

    assert shares[0] < 0.2
    assert 0.45 < shares[1] < 0.65
    assert shares[2] > 0.95


def test_crops_do_not_favour_what_is_ignored():
    mask = np.zeros((40, 40), np.uint8)
    mask[30, 9] = 255

    assert _share_that_see(mask, 30, 9, 2.0) < 0.2


def test_a_mask_of_ignored_pixels_alone_is_cropped_anywhere():
    chosen = _choose(_always(crop=(0.5, 0.5)), mask=np.full((8, 8), 65535, np.uint16))

    assert chosen.crop[2] == 0.5


def test_a_hole_may_reach_beyond_the_border():
    holes = [_choose(_always(cutout=(0.3, 0.3)), key=str(i)).cutout for i in range(100)]

    assert min(left for left, _, _ in holes) < 0
    assert max(top + side for _, top, side in holes) > 1
    assert all(0 <= left + side / 2 <= 1 for left, _, side in holes)


@given(augmentations)
def test_a_record_reads_back_equal(augmentation):
    assert Augmentation.from_json(augmentation.to_json()) == augmentation


def test_a_record_says_what_happens_and_nothing_else():
    assert Augmentation().to_json() == "{}"
    assert json.loads(Augmentation(zoom=1.5, cutout=(0.1, 0.2, 0.3), grey=True).to_json()) == {
        "zoom": 1.5,
        "cutout": [0.1, 0.2, 0.3],
        "grey": True,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"rotate": 3}',
        '{"rotation": "3"}',
        '{"rotation": NaN}',
        '{"rotation": true}',
        '{"grey": 1}',
        '{"jpeg": 3.5}',
        '{"crop": [0, 1]}',
        '{"crop": [0, 1, Infinity]}',
        '{"zoom": 0}',
        '{"blur": 1e9}',
        '{"jpeg": -1}',
    ],
)
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ValueError, match=r"not a recorded augmentation|Expecting value|must be"):
        Augmentation.from_json(text)


@pytest.mark.parametrize(
    ("ranges", "alone"),
    [
        ({"rotation": 20.0}, Augmentation(rotation=20.0)),
        ({"brightness": 0.3}, Augmentation(brightness=1.3)),
        ({"zoom": (0.5, 1.5)}, Augmentation(zoom=0.5)),
        ({"zoom": (0.8, 2.0)}, Augmentation(zoom=2.0)),
        ({"jpeg": (20, 90)}, Augmentation(jpeg=20)),
        ({"crop": (0.5, 1.0)}, Augmentation(crop=(0.25, 0.25, 0.5))),
        ({"grey": 0.1}, Augmentation(grey=True)),
    ],
)
def test_the_strongest_of_an_operation(ranges, alone):
    config = _always(**ranges)
    assert [strongest(*item) for item in config.operations.items()] == [alone]
