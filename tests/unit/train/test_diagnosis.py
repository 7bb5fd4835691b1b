"""Overfitting in words, on curves made up."""

import dataclasses

import numpy as np
import pytest

from segflow.train.config import TrainConfig
from segflow.train.diagnosis import overfitting, unfinished
from segflow.train.state import EpochRow, TrainingState

EPOCHS = np.arange(1, 31)
FALLING = 0.2 + np.exp(-EPOCHS / 8)
PARTED = np.where(EPOCHS <= 12, FALLING, 0.2 + np.exp(-12 / 8) + 0.02 * (EPOCHS - 12))


def _rows(training, validation, scores=None) -> list[EpochRow]:
    scores = [0.5] * len(training) if scores is None else scores
    values = zip(training, validation, scores, strict=True)
    row = EpochRow(1, 0.0, 0.5, 0.0, 0.5, 0.9, 0.001, 1.0, 1.0, 0.0)
    return [
        dataclasses.replace(row, epoch=i + 1, loss=a, val_loss=b, val_mean_iou=c)
        for i, (a, b, c) in enumerate(values)
    ]


def test_parted_curves_are_named_with_where_and_how_far():
    text = overfitting(_rows(FALLING, PARTED))
    assert text.startswith("overfitting since about epoch 12: the training loss went on falling (")
    assert "while the validation loss rose (0.443 to 0.763)" in text
    assert "the validation mIoU held" in text


def test_it_says_whether_the_masks_suffer():
    scores = np.where(EPOCHS <= 12, 0.7, 0.7 - 0.01 * (EPOCHS - 12))
    assert "the validation mIoU fell (0.700 to 0.530)" in overfitting(
        _rows(FALLING, PARTED, scores)
    )


def test_noise_does_not_hide_it():
    noise = np.random.default_rng(0).normal(0, 0.01, 30)
    assert "overfitting since about epoch 1" in overfitting(_rows(FALLING, PARTED + noise))


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        pytest.param(FALLING, FALLING + 0.1, id="both-fall"),
        pytest.param(FALLING, np.maximum(FALLING, 0.5), id="validation-levels-off"),
        pytest.param(PARTED, PARTED, id="both-rise"),
        pytest.param(FALLING, np.append(FALLING[:-1], 9.0), id="one-odd-epoch-at-the-end"),
        pytest.param(FALLING[:14], PARTED[:14], id="only-just"),
        pytest.param([1.0, 0.5], [1.0, 2.0], id="two-epochs"),
        pytest.param([], [], id="none"),
    ],
)
def test_other_curves_are_not(training, validation):
    assert overfitting(_rows(training, validation)) is None


def test_losses_below_zero_are_compared_by_their_size():
    assert overfitting(_rows(FALLING - 6, PARTED - 6)) is None  # the same rise, of a larger loss
    assert "overfitting" in overfitting(_rows(9 * FALLING - 6, 9 * PARTED - 6))


def test_an_undefined_score_counts_as_none():
    assert "held" in overfitting(_rows(FALLING, PARTED, [None] * 30))


def _stopped(rates, stopped="max_minutes") -> TrainingState:
    rows = _rows(rates, rates)
    rows = [dataclasses.replace(row, learning_rate=r) for row, r in zip(rows, rates, strict=True)]
    return TrainingState({}, tuple(rows), 1, stopped)


HALF = np.linspace(0.002, 0.001, 10)


@pytest.mark.parametrize("schedule", ["cosine", "polynomial"])
def test_a_rate_still_high_when_the_time_is_up_is_named_with_epochs_that_fit(schedule):
    config = TrainConfig("d", "o", epochs=20, schedule=schedule, max_minutes=10.5)
    text = unfinished(config, _stopped(HALF))
    assert text == (
        "the time was up in epoch 10 of 20, with the learning rate still at 50 % of its peak: the "
        "schedule counts --epochs; with --epochs 9 it would have ended in this time"
    )


def test_time_that_is_up_in_the_first_epoch_is_too_short():
    config = TrainConfig("d", "o", max_minutes=0.5)
    assert "not even --epochs 1 fits" in unfinished(config, _stopped(HALF[:1]))


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        pytest.param({"schedule": "constant"}, _stopped(HALF), id="nothing-to-end"),
        pytest.param({"schedule": "step"}, _stopped(HALF), id="counts-its-own-epochs"),
        pytest.param({}, _stopped(np.linspace(0.002, 0.0001, 10)), id="as-good-as-ended"),
        pytest.param({}, _stopped(HALF, "patience"), id="not-the-time"),
    ],
)
def test_a_training_that_could_not_end_better_is_left_alone(settings, state):
    assert unfinished(TrainConfig("d", "o", **settings), state) is None


def test_the_peak_after_frozen_epochs_is_that_of_fine_tuning():
    rates = [0.002] * 5 + [0.0002 * share for share in np.linspace(0.99, 0.05, 5)]
    settings = {"freeze_backbone_epochs": 5, "fine_tune_learning_rate": 0.0002}
    assert unfinished(TrainConfig("d", "o", **settings), _stopped(rates)) is None
    assert "at 99 %" in unfinished(TrainConfig("d", "o", **settings), _stopped(rates[:6]))
