"""How training examples are changed at random, checked before anything heavy is loaded."""

from dataclasses import dataclass

from segflow.errors import UsageError
from segflow.ranges import require_range


@dataclass(frozen=True)
class AugmentationConfig:
    """Random changes to training examples, drawn anew in every epoch.

    Image and mask move together; what comes from outside the image is ignored by the loss.
    """

    enabled: bool = True
    """Whether training examples are changed at all."""

    flip_horizontal: float = 0.5
    """Probability of mirroring left and right, 0 to 1."""

    flip_vertical: float = 0.0
    """Probability of mirroring top and bottom, 0 to 1; for views from above, 0.5."""

    rotation: float = 10.0
    """Largest rotation to either side, in degrees."""

    zoom: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest magnification, of a random part; 1 leaves the size as it is."""

    brightness: float = 0.15
    """Largest shift of brightness to either side, as a fraction of the range 0-255."""

    contrast: float = 0.2
    """Largest change of contrast to either side, as a fraction of the contrast."""

    saturation: float = 0.2
    """Largest change of saturation to either side, as a fraction of the saturation."""

    hue: float = 0.02
    """Largest shift of hue to either side, as a fraction of the colour circle."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("flip_horizontal", 0.0, 1.0),
            ("flip_vertical", 0.0, 1.0),
            ("rotation", 0.0, 180.0),
            ("brightness", 0.0, 1.0),
            ("contrast", 0.0, 0.99),
            ("saturation", 0.0, 0.99),
            ("hue", 0.0, 0.5),
        ):
            flag = f"--augmentation.{name.replace('_', '-')}"
            require_range(flag, getattr(self, name), low, high)
        if not 0.05 <= self.zoom[0] <= self.zoom[1] <= 20.0:
            raise UsageError(
                "--augmentation.zoom must be a smaller and a larger factor between 0.05 and 20, "
                f"found {self.zoom[0]} {self.zoom[1]}"
            )
