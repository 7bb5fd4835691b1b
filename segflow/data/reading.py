"""Options of reading images: what a file leaves open."""

import importlib.util
import re
from dataclasses import dataclass, fields
from typing import Literal

from segflow.errors import UsageError


@dataclass(frozen=True)
class ReadingConfig:
    """How pixels become 8-bit RGB where a file leaves a choice."""

    bands: str | None = None
    """Bands of a TIFF that become red, green and blue, such as 4,3,2; or one that becomes grey.
    None: the first three. Needs segflow[geo]."""
    value_range: str = "0,65535"
    """LOW,HIGH: values of 16-bit grey and TIFF that become 0 and 255, evenly between; others are
    cut off there."""
    frames: Literal["first", "reject"] = "first"
    """What an animation is: its first frame, or rejected as unsupported_format."""

    def __post_init__(self) -> None:
        if self.bands is not None and len(self.chosen_bands or ()) not in (1, 3):
            raise UsageError(f"--bands must name 1 or 3 bands such as 4,3,2, found {self.bands!r}")
        if self.chosen_bands:
            require_geo("--bands")
        low, high = self.values
        if not 0 <= low < high <= 65535:
            raise UsageError(
                "--value-range must be a smaller and a larger value of 0 to 65535 such as "
                f"0,10000, found {self.value_range!r}"
            )

    def to_dict(self) -> dict[str, str | None]:
        """These options alone, as JSON, also of a config that has more."""
        return {field.name: getattr(self, field.name) for field in fields(ReadingConfig)}

    @property
    def chosen_bands(self) -> tuple[int, ...] | None:
        """Numbers of the bands, from 1; None: the first three."""
        return None if self.bands is None else _integers("--bands", self.bands, least=1)

    @property
    def has_value_range(self) -> bool:
        """Whether a part of the 16 bits was chosen."""
        return self.values != (0, 65535)

    @property
    def values(self) -> tuple[int, int]:
        """Smallest and largest value of `value_range`."""
        found = _integers("--value-range", self.value_range)
        return (found[0], found[1]) if len(found) == 2 else (0, 0)


def require_geo(flag: str) -> None:
    """Raises `UsageError` unless rasterio is installed, which `flag` needs."""
    if importlib.util.find_spec("rasterio") is None:
        raise UsageError(f"{flag} needs rasterio; install it with: pip install 'segflow[geo]'")


def _integers(flag: str, text: str, least: int = 0) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", text):
        raise UsageError(f"{flag} must be numbers with commas between, found {text!r}")
    found = tuple(map(int, text.split(",")))
    if min(found) < least:
        raise UsageError(f"{flag} must be {least} or more, found {text!r}")
    return found


AS_SHOWN = ReadingConfig()  # as a viewer would show a file
