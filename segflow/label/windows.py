"""When windows slide over a picture, and how much they overlap."""

from dataclasses import dataclass
from typing import Literal, get_args

from segflow.dataset import ResizePolicy
from segflow.errors import UsageError
from segflow.ranges import require, require_range

WindowsMode = Literal["auto", "always", "never"]

SLIDING: tuple[ResizePolicy, ...] = ("crop", "tile")  # a whole picture is larger than the model


@dataclass(frozen=True)
class Windows:
    """How a picture reaches a model whose input has one size.

    Attributes:
        when: `auto`: windows slide where the model was trained on crops or tiles, and over giants
            (pictures above the caps that are read by rows); `always`: over every picture, at its
            own scale; `never`: over none.
        overlap: Share of a window's height and width that its neighbour sees, too; at most a half.
    """

    when: WindowsMode = "auto"
    overlap: float = 0.25

    def __post_init__(self) -> None:
        require("--windows", self.when, self.when in get_args(WindowsMode), "auto, always or never")
        require_range("--window-overlap", self.overlap, 0, 0.5)

    @property
    def take_giants(self) -> bool:
        """Whether pictures above the caps are read by rows; else they are too large."""
        return self.when != "never"

    def policy(self, trained: ResizePolicy) -> ResizePolicy:
        """How a picture is brought to the model's scale; where it is `SLIDING`, windows follow.

        Args:
            trained: How the pictures of the training were.

        Raises:
            UsageError: The model sees whole pictures through windows only, and there are none.
        """
        if self.when == "always":
            return "tile"
        if self.when == "never" and trained in SLIDING:
            raise UsageError(
                f"--windows never: the model was trained with --resize {trained} and sees whole "
                "pictures through windows only; use --windows auto"
            )
        return trained


AUTO = Windows()
