"""Options of `segflow ensemble`."""

import math
from dataclasses import dataclass
from typing import Any

from segflow.data.config import parse_image_size
from segflow.errors import UsageError

EQUAL, FITTED = "equal", "fitted"


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """Combines bundles into one that averages their calibrated class probabilities."""

    model: tuple[str, ...]
    """Model bundles, two or more; --model may be repeated."""
    output: str
    """Folder of the ensemble's bundle; it must be new, empty, or hold this very ensemble."""
    member_weights: str = EQUAL
    """equal; fitted, so that the pixels of --dataset are likeliest; or numbers in the order of
    the models, such as 0.5,0.3,0.2, which are divided by their sum."""
    image_size: str | None = None
    """HEIGHTxWIDTH in pixels that the ensemble takes; none: that of the largest model."""
    dataset: str | None = None
    """Dataset to score models and ensemble on; none: they are not scored."""
    split: str = "val"
    """Split of --dataset to fit weights and to score on."""
    batch_size: int = 8
    """Images the models see at once while they are scored."""
    seed: int = 0
    """Decides which pixels weights are fitted on."""

    def __post_init__(self) -> None:
        if len(self.model) < 2:
            raise UsageError(
                f"an ensemble needs two models or more, found {len(self.model)}; repeat --model"
            )
        if self.image_size is not None:
            parse_image_size(self.image_size)
        if self.batch_size < 1:
            raise UsageError(f"--batch-size must be 1 or more, found {self.batch_size}")
        if self.member_weights == FITTED and self.dataset is None:
            raise UsageError("--member-weights fitted needs a --dataset to fit them on")
        self.given_weights()

    def given_weights(self) -> list[float] | None:
        """One weight for each model, summing to 1; None if they are to be fitted.

        Raises:
            UsageError: They are not as many positive numbers as there are models.
        """
        if self.member_weights == FITTED:
            return None
        if self.member_weights == EQUAL:
            return [1 / len(self.model)] * len(self.model)
        try:
            numbers = [float(text) for text in self.member_weights.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != len(self.model) or not all(0 < n < math.inf for n in numbers):
            raise UsageError(
                f"--member-weights must be {EQUAL}, {FITTED}, or {len(self.model)} positive "
                f"numbers such as {','.join(['1'] * len(self.model))}, one for each --model, "
                f"found {self.member_weights!r}"
            )
        return [n / sum(numbers) for n in numbers]

    def recorded(self) -> dict[str, Any]:
        """What decides the ensemble, besides its members and the dataset."""
        scored = {"split": self.split, "seed": self.seed}
        names = ("member_weights", "image_size")
        return {name: getattr(self, name) for name in names} | (
            scored if self.dataset is not None else {}
        )
