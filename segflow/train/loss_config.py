"""The losses that `--loss` knows, their parameters, and the little language that sums them."""

import re
from dataclasses import dataclass

from segflow.errors import UsageError
from segflow.ranges import require

LOSS_NAMES = (
    "ce",
    "focal",
    "ohem",
    "dice",
    "generalized_dice",
    "tversky",
    "focal_tversky",
    "lovasz",
    "boundary",
)

_TERM = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)\*)?([a-z_]+)")


@dataclass(frozen=True)
class LossConfig:
    """Parameters of the losses; each counts only where its loss is used."""

    label_smoothing: float = 0.0
    """Of ce and ohem: the share of each pixel's truth that is spread over all classes, 0 to 1."""

    focal_gamma: float = 2.0
    """Of focal: how much less pixels count that are right already; 0 is ce."""

    ohem_fraction: float = 0.25
    """Of ohem: the share of an image's valid pixels, the hardest, that count; 1 is ce."""

    tversky_alpha: float = 0.3
    """Of tversky and focal_tversky: the weight of false positives."""

    tversky_beta: float = 0.7
    """Of tversky and focal_tversky: the weight of false negatives."""

    focal_tversky_gamma: float = 4 / 3
    """Of focal_tversky: classes far from right count more the larger this is; 1 is tversky."""

    def __post_init__(self) -> None:
        self._require("label_smoothing", 0.0 <= self.label_smoothing < 1.0, "[0, 1)")
        self._require("ohem_fraction", 1e-6 <= self.ohem_fraction <= 1.0, "[0.000001, 1]")
        for name in ("focal_gamma", "tversky_alpha", "tversky_beta"):
            self._require(name, 0.0 <= getattr(self, name) <= 100.0, "[0, 100]")
        self._require("focal_tversky_gamma", 1.0 <= self.focal_tversky_gamma <= 100.0, "[1, 100]")
        if not self.tversky_alpha + self.tversky_beta:
            raise UsageError(
                "--loss-options.tversky-alpha and --loss-options.tversky-beta are both 0, so that "
                "no mistake would cost anything; raise one of them"
            )

    def _require(self, name: str, sound: bool, interval: str) -> None:
        flag = f"--loss-options.{name.replace('_', '-')}"
        require(flag, getattr(self, name), sound, f"in {interval}")


def parse_loss(text: str) -> tuple[tuple[float, str], ...]:
    """Reads a loss such as `ce+dice` or `0.7*ce+0.3*dice`.

    Returns:
        Factor and name of each term, in the order given.

    Raises:
        UsageError: A term is no known loss, stands twice, or has the factor 0.
    """
    terms = []
    for part in text.replace(" ", "").split("+"):
        match = _TERM.fullmatch(part)
        if match is None or match[2] not in LOSS_NAMES:
            raise UsageError(
                f"--loss {text!r}: {part!r} is no loss; write a sum of {', '.join(LOSS_NAMES)}, "
                "with factors if wanted, such as '0.7*ce+0.3*dice'"
            )
        terms.append((float(match[1] or 1), match[2]))
    names = [name for _, name in terms]
    if len(set(names)) < len(names) or not all(factor for factor, _ in terms):
        raise UsageError(f"--loss {text!r}: each loss must stand once, with a factor above 0")
    return tuple(terms)
