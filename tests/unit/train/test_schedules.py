"""The learning rate over a training, against closed forms."""

import math

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segflow.errors import UsageError
from segflow.train.config import TrainConfig
from segflow.train.schedule_config import ScheduleConfig
from segflow.train.schedules import FROZEN, Schedule


def rates(
    schedule: str, updates: list[int], per_epoch: float = 10, thawed_at: int = 0, **settings
) -> list[float]:
    options = {k: settings.pop(k) for k in list(settings) if hasattr(ScheduleConfig, k)}
    config = TrainConfig(
        "data",
        "out",
        learning_rate=0.01,
        epochs=10,
        schedule=schedule,
        schedule_options=ScheduleConfig(**options),
        **settings,
    )
    made = Schedule(config, per_epoch, keras.Variable(thawed_at, dtype="int64"))
    return [float(made(update)) for update in updates]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.01, 0.01, 0.01, 0.01]),
        ("cosine", [0.01, 0.01 * (1 + math.cos(math.pi / 4)) / 2, 0.005, 0.0]),
        ("polynomial", [0.01, 0.01 * 0.75**0.9, 0.01 * 0.5**0.9, 0.0]),
    ],
)
def test_curves(schedule, expected):
    assert rates(schedule, [0, 25, 50, 100]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_steps_drop_at_the_end_of_their_epochs():
    found = rates("step", [0, 29, 30, 59, 60, 99], step_epochs=3, step_factor=0.5)
    expected = [0.01, 0.01, 0.005, 0.005, 0.0025, 0.00125]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "polynomial", "step"])
def test_warmup_rises_from_one_share_to_the_full_rate(schedule):
    found = rates(schedule, list(range(21)), warmup_epochs=2)
    expected = [0.01 * (i + 1) / 20 for i in range(20)]
    assert found == pytest.approx([*expected, 0.01], rel=1e-6)


def test_after_warmup_the_curve_takes_what_is_left():
    assert rates("cosine", [60, 100], warmup_epochs=2) == pytest.approx([0.005, 0], abs=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "polynomial", "step"])
def test_a_training_that_is_frozen_to_the_end_has_a_rate_there_too(schedule):
    found = rates(schedule, [0, 99, 100], thawed_at=FROZEN, freeze_backbone_epochs=10)
    assert found == pytest.approx([0.01] * 3)


@pytest.mark.parametrize(("fine_tuning", "second"), [(0.002, 0.002), (None, 0.01)])
def test_frozen_epochs_have_their_rate_and_the_schedule_begins_after_them(fine_tuning, second):
    options = {
        "warmup_epochs": 1,
        "freeze_backbone_epochs": 4,
        "fine_tune_learning_rate": fine_tuning,
    }
    assert rates("cosine", [0, 41], thawed_at=FROZEN, **options) == pytest.approx([0.01, 0.01])
    # The phase lasted for fewer updates than 4 epochs of 10: some were skipped.
    found = rates("cosine", [37, 46, 47, 72, 97], thawed_at=37, **options)
    expected = [second / 10, second, second, second / 2, 0]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


@settings(max_examples=30)
@given(
    schedule=st.sampled_from(["constant", "cosine", "polynomial", "step"]),
    per_epoch=st.floats(0.3, 1000),
    warmup=st.floats(0, 4),
    share=st.floats(0, 1),
)
def test_a_rate_is_never_negative_nor_above_the_full_one(schedule, per_epoch, warmup, share):
    update = int(share * 10 * per_epoch)
    [rate] = rates(schedule, [update], per_epoch, warmup_epochs=warmup)
    assert 0 <= rate <= 0.01 * (1 + 1e-6)


@pytest.mark.parametrize(
    ("option", "value"),
    [("warmup_epochs", -1.0), ("step_epochs", 0.0), ("step_factor", 1.5), ("power", 0.0)],
)
def test_a_parameter_out_of_its_range_is_refused(option, value):
    with pytest.raises(UsageError, match=f"{option.replace('_', '-')} must be .*, found {value}"):
        ScheduleConfig(**{option: value})


def test_warmup_must_leave_epochs():
    with pytest.raises(UsageError, match=r"take 10.* of 10 epochs.*raise --epochs"):
        rates("cosine", [0], warmup_epochs=6, freeze_backbone_epochs=4)
