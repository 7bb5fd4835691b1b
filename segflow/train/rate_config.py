"""What `segflow find-rate` can be told."""

from dataclasses import dataclass, field

from segflow.errors import UsageError
from segflow.ranges import require_range
from segflow.train.config import TrainConfig

_LEAST_STEPS = 10  # fewer make no curve
_MOST_STEPS = 10_000  # more show no more of it


@dataclass(frozen=True)
class FindRateConfig(TrainConfig):
    """Looks for a learning rate: trains briefly while it rises, plots the loss.

    Takes the flags of 'segflow train'; those of rate and length do not count.
    """

    resume: bool = field(init=False, default=False)
    """No flag of this command: what takes so little time begins anew."""

    mlflow: str | None = field(init=False, default=None)
    """No flag of this command, which trains nothing that is kept."""

    lowest_rate: float = 1e-6
    """Learning rate of the first step."""

    highest_rate: float = 1.0
    """Learning rate of the last step, unless the loss grows far beyond its lowest before."""

    rate_steps: int = 100
    """Steps from the lowest rate to the highest, each higher by the same factor; 10 to 10000."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.lowest_rate < self.highest_rate < float("inf"):
            raise UsageError(
                "--lowest-rate and --highest-rate must be above 0 and rise, found "
                f"{self.lowest_rate} and {self.highest_rate}"
            )
        require_range("--rate-steps", self.rate_steps, _LEAST_STEPS, _MOST_STEPS)
