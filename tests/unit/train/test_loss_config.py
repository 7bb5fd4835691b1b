"""The language of `--loss` and the parameters of the losses."""

import pytest

from segflow.errors import UsageError
from segflow.train.loss_config import LOSS_NAMES, LossConfig, parse_loss


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("ce", ((1.0, "ce"),)),
        ("ce+dice", ((1.0, "ce"), (1.0, "dice"))),
        ("0.7*ce + 0.3*dice", ((0.7, "ce"), (0.3, "dice"))),
        (".5*dice", ((0.5, "dice"),)),
    ],
)
def test_a_loss_is_a_sum_with_factors(text, terms):
    assert parse_loss(text) == terms


@pytest.mark.parametrize(
    "text",
    ["", "ce+", "mse", "ce*2", "ce-dice", "-1*ce", "1e3*ce", "CE", "ce+ce", "tversky+", "0*ce"],
)
def test_what_is_no_loss_is_refused(text):
    with pytest.raises(UsageError, match="loss"):
        parse_loss(text)


def test_every_loss_can_be_named():
    assert parse_loss("+".join(LOSS_NAMES)) == tuple((1.0, name) for name in LOSS_NAMES)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
        ("focal_gamma", -1.0),
        ("ohem_fraction", 0.0),
        ("ohem_fraction", 1e-7),
        ("ohem_fraction", 1.01),
        ("tversky_alpha", -0.1),
        ("tversky_beta", float("nan")),
        ("focal_tversky_gamma", 0.5),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(option, value):
    flag = f"--loss-options.{option.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"{flag} must be in .*, found {value}"):
        LossConfig(**{option: value})


def test_tversky_must_cost_something():
    with pytest.raises(UsageError, match="both 0"):
        LossConfig(tversky_alpha=0.0, tversky_beta=0.0)
