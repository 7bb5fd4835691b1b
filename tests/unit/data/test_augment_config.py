"""Options of augmentation: presets, what a flag changes of them, what is refused."""

import inspect
from dataclasses import fields

import pytest

from segflow.data.augment_config import OPERATIONS, PRESETS, AugmentationConfig, Operation
from segflow.errors import UsageError
from segflow.train.config import AugmentationConfig as OnlineConfig
from tests.requirements import ROOT


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_within_what_is_allowed_and_reads_back_equal(preset):
    config = AugmentationConfig(preset=preset)

    resolved = config.resolved()

    assert resolved.operations == config.operations
    assert None not in vars(resolved).values()
    assert resolved.resolved() == resolved


def test_every_setting_is_in_every_preset():
    names = {field.name for field in fields(AugmentationConfig)} - {"preset"}

    assert all(set(preset) == names for preset in PRESETS.values())
    assert set(OPERATIONS) < names


def test_light_is_the_default_and_none_is_nothing():
    assert AugmentationConfig() == AugmentationConfig(preset="light")
    assert AugmentationConfig(preset="none").operations == {}


def test_strong_has_every_operation_but_turning_upside_down():
    assert set(OPERATIONS) - set(AugmentationConfig(preset="strong").operations) == {
        "flip_vertical"
    }


def test_medical_leaves_the_colours_as_they_are():
    changed = {"saturation", "hue", "grey", "jpeg", "cutout"}

    assert not changed & set(AugmentationConfig(preset="medical").operations)


def test_a_setting_wins_over_the_preset_and_leaves_the_rest_of_it():
    aerial, given = (AugmentationConfig(preset="aerial", **s) for s in ({}, {"rotation": 5.0}))

    assert given.operations["rotation"] == Operation(1.0, -5.0, 5.0)
    assert {**given.operations, "rotation": None} == {**aerial.operations, "rotation": None}


def test_a_range_turns_an_operation_on_that_the_preset_leaves_out():
    on = AugmentationConfig(preset="none", noise=20.0, crop=(0.5, 0.6))
    rarely = AugmentationConfig(preset="none", noise=20.0, noise_probability=0.1)

    assert on.operations == {"crop": Operation(1.0, 0.5, 0.6), "noise": Operation(1.0, 0, 20.0)}
    assert rarely.operations == {"noise": Operation(0.1, 0, 20.0)}


def test_a_range_alone_does_not_change_how_often_the_preset_has_an_operation():
    assert AugmentationConfig(preset="strong", noise=5.0).operations["noise"].probability == 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "heavy"}, "preset must be one of none, light, .* found 'heavy'"),
        ({"flip_horizontal": 1.1}, "flip-horizontal must be 0 to 1, found 1.1"),
        ({"flip_vertical": -0.1}, "flip-vertical must be 0 to 1, found -0.1"),
        ({"grey": 2}, "grey must be 0 to 1, found 2"),
        ({"noise_probability": 1.5}, "noise-probability must be 0 to 1, found 1.5"),
        ({"rotation": 181}, "rotation must be 0 to 180, found 181"),
        ({"shear": 61}, "shear must be 0 to 60, found 61"),
        ({"brightness": 2}, "brightness must be 0 to 1, found 2"),
        ({"contrast": float("nan")}, "contrast must be 0 to 1, found nan"),
        ({"saturation": -1}, "saturation must be 0 to 1, found -1"),
        ({"hue": 200}, "hue must be 0 to 180, found 200"),
        ({"blur": 51}, "blur must be 0 to 50, found 51"),
        ({"noise": 129}, "noise must be 0 to 128, found 129"),
        ({"crop_rarity": 3}, "crop-rarity must be 0 to 2, found 3"),
        ({"zoom": (1.2, 0.8)}, "zoom must be a smaller and a larger .* found 1.2 0.8"),
        ({"zoom": (0, 1)}, "zoom .* between 0.05 and 20, found 0 1"),
        ({"zoom": (1, float("inf"))}, "zoom .* found 1 inf"),
        ({"crop": (0.5, 1.5)}, "crop .* between 0.05 and 1, found 0.5 1.5"),
        ({"jpeg": (0, 50)}, "jpeg .* between 1 and 100, found 0 50"),
        ({"cutout": (0.5, 0.1)}, "cutout .* found 0.5 0.1"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, message):
    with pytest.raises(UsageError, match=rf"--augmentation\.{message}"):
        AugmentationConfig(**settings)


def test_the_documentation_shows_the_presets_as_they_are():
    page = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")

    table = "\n".join(_table())
    assert table in page, f"docs/ingest.md should have this table:\n{table}"


def _table() -> list[str]:
    rows = [["operation", *(f"`{name}`" for name in PRESETS)], ["---"] * (1 + len(PRESETS))]
    for name in OPERATIONS:
        found = [AugmentationConfig(preset=preset).operations.get(name) for preset in PRESETS]
        rows.append([f"`{name}`", *(o.describe(name) if o else "" for o in found)])
    return [f"| {' | '.join(cells)} |" for cells in rows]


@pytest.mark.parametrize(
    ("preset", "name", "text"),
    [
        ("light", "flip_horizontal", "50 %"),
        ("light", "rotation", "rotation ±10°, always"),
        ("light", "zoom", "zoom 0.8 to 1.25, always"),
        *(("light", name, "±0.2, always") for name in ("brightness", "contrast", "saturation")),
        ("strong", "rotation", "rotation ±30°, 80 %"),
        ("strong", "zoom", "zoom 0.5 to 2, 50 %"),
        ("aerial", "rotation", "rotation ±180°, always"),
        ("medical", "rotation", "rotation ±180°, 50 %"),
        ("medical", "zoom", "zoom 0.7 to 1.4, 50 %"),
    ],
)
def test_the_help_says_what_the_presets_hold(preset, name, text):
    source = " ".join(inspect.getsource(AugmentationConfig).split())
    said = source.partition(f" {preset}: ")[2].partition('"""')[0]

    described = AugmentationConfig(preset=preset).operations[name].describe(name)

    assert text.endswith(described)
    assert text.partition(",")[0] in said


@pytest.mark.parametrize(
    ("name", "operation", "text"),
    [
        ("rotation", Operation(1.0, -10.0, 10.0), "±10°, always"),
        ("brightness", Operation(0.05, -0.2, 0.2), "±0.2, 5 %"),
        ("zoom", Operation(0.125, 0.5, 2.0), "0.5 to 2, 12.5 %"),
        ("grey", Operation(0.5), "50 %"),
    ],
)
def test_an_operation_is_described(name, operation, text):
    assert operation.describe(name) == text


def test_training_calls_the_same_things_by_the_same_names():
    ours = {field.name for field in fields(AugmentationConfig)}

    assert {field.name for field in fields(OnlineConfig)} - {"enabled"} <= ours
