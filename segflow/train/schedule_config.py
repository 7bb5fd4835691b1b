"""Parameters of the learning-rate schedules."""

from dataclasses import dataclass

from segflow.ranges import require


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
        self._require("warmup_epochs", 0.0 <= self.warmup_epochs < 1e6, "from 0")
        self._require("step_epochs", 0.0 < self.step_epochs < 1e6, "above 0")
        self._require("step_factor", 0.0 < self.step_factor <= 1.0, "in (0, 1]")
        self._require("power", 0.0 < self.power <= 100.0, "in (0, 100]")

    def _require(self, name: str, sound: bool, expected: str) -> None:
        flag = f"--schedule-options.{name.replace('_', '-')}"
        require(flag, getattr(self, name), sound, expected)
