"""What `segflow train --sweep` can be told, checked before anything heavy is loaded."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from segflow.errors import UsageError
from segflow.ranges import require, require_range
from segflow.train.config import TrainConfig

_KEYS = ("parameters", "trials", "seed")
_DIGITS = 4  # of a number that was drawn: more decide little, and are hard to read

OWN_SETTINGS = ("dataset", "output", "resume", "mlflow")
"""Settings of a training that a sweep gives its trials itself."""


@dataclass(frozen=True)
class TrainCommandConfig(TrainConfig):
    """Trains a model on a dataset, on all local GPUs or the CPU; with --sweep, many."""

    sweep: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file of settings to search, by training again and again into --output: 'trials', 'seed'
    and 'parameters', each with a list of choices or {low, high, log} (docs/train.md)."""

    def training(self) -> TrainConfig:
        """The training that is asked for, or that all trials have in common."""
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        return TrainConfig(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Choices:
    """A parameter that is one of some values, of any kind that YAML has."""

    values: tuple[Any, ...]

    def to_json(self) -> Any:
        """The choices as they stand in the file."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """A parameter that is a number from `low` to `high`; an integer if both are.

    With `log`, every factor is as likely as any other, not every difference.
    """

    low: float
    high: float
    log: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether only integers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def rounded(self, value: float) -> float:
        """A number of the range with few digits, but the more the narrower the range is."""
        magnitude = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        digits = _DIGITS + math.ceil(math.log10(magnitude))
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)

    def to_json(self) -> Any:
        """The range as it stands in the file."""
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Sweep:
    """A search for settings.

    Attributes:
        parameters: What to search, by the names of settings, sections by dots.
        trials: How many trainings.
        seed: Decides which settings are tried, together with what has come of those before.
    """

    parameters: Mapping[str, Choices | Range]
    trials: int
    seed: int = 0

    def __post_init__(self) -> None:
        require("--sweep: trials", self.trials, is_whole(self.trials) and self.trials > 0, "from 1")
        require("--sweep: seed", self.seed, is_whole(self.seed), "an integer")
        require_range("--sweep: seed", self.seed, 0, 2**31 - 1)
        if not self.parameters:
            raise UsageError("--sweep: no parameters; name at least one setting and its choices")

    @property
    def combinations(self) -> float:
        """How many different trials there are; infinite where a parameter is a real number."""
        return math.prod(_size(parameter) for parameter in self.parameters.values())


def is_whole(value: object) -> bool:
    """Whether a value of YAML is an integer: `true` is none, though Python takes it for one."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_keys(data: Mapping[str, Any]) -> None:
    """Raises `UsageError` unless a sweep's file has the keys it must have, and no others."""
    for key in data:
        require("--sweep: a key", key, key in _KEYS, f"one of {', '.join(_KEYS)}")
    missing = [key for key in ("parameters", "trials") if key not in data]
    if missing:
        raise UsageError(f"--sweep: no {missing[0]!r} in the file; see docs/train.md for one")
    if not isinstance(data["parameters"], Mapping):
        raise UsageError("--sweep: 'parameters' must name settings, each with its choices")


def parse_parameter(name: str, value: Any) -> Choices | Range:
    """Reads the choices or the range of a setting.

    Args:
        name: What the file calls the setting.
        value: What stands there: a list, or a mapping with `low`, `high` and perhaps `log`.

    Raises:
        UsageError: It is neither, a choice stands twice, or the range holds no numbers.
    """
    if isinstance(value, list) and value:
        if any(value.count(choice) > 1 for choice in value):
            raise UsageError(f"--sweep: a choice of {name} stands twice in {value}")
        return Choices(tuple(value))
    if isinstance(value, Mapping) and {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        return _range(name, **value)
    raise UsageError(
        f"--sweep: {name} must be a list of choices, or {{low: 0.0001, high: 0.01, log: true}}, "
        f"found {value!r}"
    )


def _range(name: str, low: Any, high: Any, log: Any = False) -> Range:
    try:
        low, high = _number(low), _number(high)
    except ValueError:
        raise UsageError(
            f"--sweep: {name}: low and high must be numbers, found {low!r} and {high!r}"
        ) from None
    require(f"--sweep: {name}: log", log, isinstance(log, bool), "true or false")
    if not (math.isfinite(low) and math.isfinite(high) and low < high and (low > 0 or not log)):
        above = "above 0 and " if log else ""
        raise UsageError(f"--sweep: {name}: expected low {above}below high, found {low} and {high}")
    return Range(low, high, log)


def _number(value: Any) -> float:
    """A number of YAML, which takes `1e-4` for a text."""
    if is_whole(value) or isinstance(value, float):
        return value
    if isinstance(value, str):
        return float(value)
    raise ValueError(value)


def _size(parameter: Choices | Range) -> float:
    if isinstance(parameter, Choices):
        return len(parameter.values)
    return parameter.high - parameter.low + 1 if parameter.is_integer else math.inf
