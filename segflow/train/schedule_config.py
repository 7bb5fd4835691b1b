"""Parameters of the learning-rate schedules."""

from dataclasses import dataclass

from segflow.errors import UsageError


@dataclass(frozen=True)
class ScheduleConfig:
    """Parameters of the learning-rate schedules; epochs count from the end of the frozen ones."""

    warmup_epochs: float = 0.0
    """Epochs, parts of one too, in which the rate rises linearly to its full height first."""

    step_epochs: float = 10.0
    """Of step: epochs between one drop of the rate and the next."""

    step_factor: float = 0.1
    """Of step: what each drop multiplies the rate by."""

    power: float = 0.9
    """Of polynomial: the rate is the share of the epochs still to come, to this power."""

    def __post_init__(self) -> None:
        _check("warmup-epochs", self.warmup_epochs, 0.0 <= self.warmup_epochs < 1e6, "from 0")
        _check("step-epochs", self.step_epochs, 0.0 < self.step_epochs < 1e6, "above 0")
        _check("step-factor", self.step_factor, 0.0 < self.step_factor <= 1.0, "in (0, 1]")
        _check("power", self.power, 0.0 < self.power <= 100.0, "in (0, 100]")


def _check(name: str, value: float, sound: bool, expected: str) -> None:
    if not sound:
        raise UsageError(f"--schedule-options.{name} must be {expected}, found {value}")
