"""Settings and the little languages in them."""

import pytest

from segflow.errors import UsageError
from segflow.train.config import (
    AugmentationConfig,
    TrainConfig,
    check_batch_size,
    parse_devices,
    steps_per_epoch,
)


def config(**settings: object) -> TrainConfig:
    return TrainConfig(dataset="data", output="out", **settings)


@pytest.mark.parametrize(
    ("text", "devices"), [("auto", ("auto", 0)), ("cpu:2", ("cpu", 2)), ("gpu:16", ("gpu", 16))]
)
def test_devices(text, devices):
    assert parse_devices(text) == devices


@pytest.mark.parametrize("text", ["cpu", "gpu:0", "tpu:1", "cpu:-1", "2", "cpu:2 "])
def test_what_is_no_devices_is_refused(text):
    with pytest.raises(UsageError, match=r"auto, cpu:N or gpu:N"):
        parse_devices(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "vgg"},
        {"loss": "l2"},
        {"devices": "all"},
        {"filters": 0},
        {"depth": -1},
        {"epochs": 0},
        {"batch_size": 0},
        {"batch_size": 3, "devices": "cpu:2"},
        {"patience": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"max_minutes": -1.0},
        {"momentum": 1.5},
        {"weight_decay": -0.1},
        {"accumulation": 0},
        {"clip_norm": 0.0},
        {"moving_average": 1.0},
        {"backbone_rate_factor": -1.0},
        {"freeze_backbone_epochs": -1},
        {"fine_tune_learning_rate": 0.0},
        {"fine_tune_learning_rate": 0.1},
        {"freeze_backbone_epochs": 41},
        {"xla": True, "devices": "cpu:2"},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UsageError):
        config(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"flip_horizontal": 1.1},
        {"flip_vertical": -0.1},
        {"rotation": 181.0},
        {"zoom": (1.2, 0.8)},
        {"zoom": (0.0, 1.0)},
        {"brightness": 2.0},
        {"contrast": 1.0},
    ],
)
def test_augmentation_out_of_range_is_refused(settings):
    with pytest.raises(UsageError, match=f"augmentation.{next(iter(settings)).replace('_', '-')}"):
        AugmentationConfig(**settings)


def test_model_parameters_are_those_of_the_architecture():
    given = config(architecture="segnet", filters=12, depth=3)
    assert given.model_parameters == {"filters": 12, "depth": 3}
    assert config(architecture="segnet").model_parameters == {"filters": 32, "depth": 5}


def test_a_flag_that_the_architecture_does_not_take_is_refused():
    with pytest.raises(UsageError, match=r"--output-stride is not for .* unet.* --filters, --dep"):
        config(output_stride=8)


def test_identities_leave_out_what_may_change():
    one = config(seed=1, devices="cpu:1", max_minutes=1.0)
    moved = TrainConfig("elsewhere", "there", seed=1, devices="cpu:1", max_minutes=1.0, resume=True)
    longer = config(seed=1, devices="cpu:2", max_minutes=2.0)
    other = config(seed=2)
    assert one.identity() == moved.identity()
    assert one.identity() != longer.identity()
    assert one.resume_identity() == longer.resume_identity()
    assert one.resume_identity() != other.resume_identity()


def test_an_epoch_leaves_out_what_does_not_fill_a_batch():
    assert steps_per_epoch(17, 8) == 2
    with pytest.raises(UsageError, match=r"7 examples, fewer than one batch of 8; .* at most 7"):
        steps_per_epoch(7, 8)


@pytest.mark.parametrize(
    ("batch_size", "replicas", "advice"),
    [(9, 2, "use 8 or 10"), (3, 4, "use 4$"), (13, 4, "use 12 or 16")],
)
def test_a_batch_that_cannot_be_split_evenly_is_refused(batch_size, replicas, advice):
    with pytest.raises(UsageError, match=advice):
        check_batch_size(batch_size, replicas)


def test_a_batch_that_can_be_split_evenly_is_fine():
    check_batch_size(12, 4)
