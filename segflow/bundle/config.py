"""Options of `segflow bundle`."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from segflow.data.config import parse_image_size
from segflow.data.reading import ReadingConfig
from segflow.dataset import ResizePolicy
from segflow.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """Makes a model bundle of a Keras file, to label, evaluate and ensemble with."""

    model_file: str
    """Keras file (.keras) of Keras's own layers, from pictures to logits or probabilities."""
    label_map: str
    """Label map of the classes, in the order of the model's channels: JSON, YAML, or CVAT's
    labelmap.txt."""
    image_size: str
    """HEIGHTxWIDTH in pixels that the model is to see, such as 512x512."""
    output: str
    """Folder of the bundle; it must be new, empty, or hold this very bundle."""
    resize: ResizePolicy = "stretch"
    """How pictures came to that size when it was trained, as for segflow ingest. Models of crop
    and tile slide over pictures."""
    pixel_range: str = "0,255"
    """LOW,HIGH: what the file wants black and white to be, such as 0,1 or -1,1. The scaling becomes
    part of the bundle's model."""
    gives: Literal["auto", "logits", "probabilities"] = "auto"
    """What the model's output is; auto: probabilities if they sum to 1 at each pixel of a test
    picture, else logits."""
    bands: str | None = None
    """Bands of a TIFF that it was trained on, as for segflow ingest."""
    value_range: str = "0,65535"
    """LOW,HIGH: 16-bit values that became 0 and 255, as for segflow ingest."""

    def __post_init__(self) -> None:
        parse_image_size(self.image_size)
        low, high = self.range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(
                "--pixel-range must be a smaller and a larger number such as 0,1 or -1,1, found "
                f"{self.pixel_range!r}"
            )
        self.reading  # noqa: B018 - says what is wrong with it

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return parse_image_size(self.image_size)

    @property
    def range(self) -> tuple[float, float]:
        """What black and white are to be; NaN where that is not told."""
        try:
            low, high = map(float, self.pixel_range.split(","))
        except ValueError:
            return math.nan, math.nan
        return low, high

    @property
    def reading(self) -> ReadingConfig:
        """How images are read, so that they are as those that the model was trained on."""
        return ReadingConfig(bands=self.bands, value_range=self.value_range)

    def recorded(self) -> dict[str, Any]:
        """What decides the bundle, besides the file and the label map."""
        names = ("image_size", "resize", "pixel_range", "gives", "bands", "value_range")
        return {name: getattr(self, name) for name in names}
