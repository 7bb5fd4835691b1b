"""What a learning-rate range test has found, and what follows from it."""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMOOTHING = 0.8  # weight of a batch's neighbour in a mean around it
_GROWTH = 4.0  # the loss over its lowest at which a test ends
_MARGIN = 10.0  # between the rate of the lowest loss and the one to train with


@dataclass(frozen=True)
class RangeTest:
    """Losses while the learning rate rises (Smith 2017, https://arxiv.org/abs/1506.01186).

    Attributes:
        rates: Of each batch, rising.
        losses: Of each batch, before the step that it makes with its rate; finite.
    """

    rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()

    def with_batch(self, rate: float, loss: float) -> "RangeTest":
        """The test with one more batch."""
        return RangeTest((*self.rates, rate), (*self.losses, loss))

    @property
    def smoothed(self) -> tuple[float, ...]:
        """Means around each batch; one that is i batches away has the weight 0.8^i.

        Means over the past alone would lag behind, and show the lowest loss at too high a rate.
        """
        weights = _sums_around(np.ones(len(self.losses)))
        return tuple((_sums_around(np.array(self.losses)) / weights).tolist())

    @property
    def has_grown(self) -> bool:
        """Whether the smoothed loss lies far above its lowest: higher rates tell nothing new."""
        smoothed = self.smoothed
        return smoothed[-1] > _GROWTH * abs(min(smoothed))

    @property
    def rate_of_lowest(self) -> float | None:
        """The rate at which the smoothed loss was lowest; None if it never fell."""
        smoothed = self.smoothed
        lowest = smoothed.index(min(smoothed)) if smoothed else 0
        return self.rates[lowest] if lowest else None

    @property
    def suggested(self) -> float | None:
        """A rate to train with: a tenth of `rate_of_lowest`, where the loss falls fast."""
        return None if self.rate_of_lowest is None else self.rate_of_lowest / _MARGIN

    def advice(self) -> str:
        """One line for people."""
        if self.rate_of_lowest is None or self.suggested is None:
            return "no suggestion: the loss fell at no rate; try a lower --lowest-rate"
        line = (
            f"suggested: --learning-rate {self.suggested:.1e}, a tenth of the rate with the "
            f"lowest loss ({self.rate_of_lowest:.1e})"
        )
        if self.rate_of_lowest == self.rates[-1]:
            line += "; the loss was still falling there: try a higher --highest-rate"
        return line

    def to_csv(self) -> bytes:
        """`rates.csv`: a row for each batch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("learning_rate", "loss", "smoothed_loss"))
        writer.writerows(zip(self.rates, self.losses, self.smoothed, strict=True))
        return text.getvalue().encode()

    def to_dict(self) -> dict[str, Any]:
        """What `rates.json` holds of it."""
        return {
            "suggested_learning_rate": self.suggested,
            "rate_of_lowest_loss": self.rate_of_lowest,
            "batches": len(self.rates),
        }


def _sums_around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each place i the sum of 0.8^|i - j| * values[j] over all j, in linear time and memory."""
    return _running(values) + _running(values[::-1])[::-1] - values


def _running(values: Iterable[float]) -> NDArray[np.float64]:
    """For each place the sum over it and all before."""
    return np.array(list(accumulate(values, lambda sum_, value: _SMOOTHING * sum_ + value)))


def rate_at(step: int, steps: int, lowest: float, highest: float) -> float:
    """The rate of a step, the first being 0 and the last `steps` - 1."""
    share = step / (steps - 1)
    return math.exp((1 - share) * math.log(lowest) + share * math.log(highest))
