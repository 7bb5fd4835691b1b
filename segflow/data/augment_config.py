"""Options of augmentation: a probability and a range for each operation, and presets of them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from segflow.errors import UsageError
from segflow.ranges import require_range

Preset = Literal["none", "light", "strong", "aerial", "medical"]

# In the order in which they are applied; names of the settings that hold a range, or for those
# that only happen or do not, a probability.
OPERATIONS = (
    *("crop", "flip_horizontal", "flip_vertical", "shear", "rotation", "zoom"),
    *("brightness", "contrast", "saturation", "hue", "grey", "blur", "noise", "jpeg", "cutout"),
)
_NO_RANGE = ("flip_horizontal", "flip_vertical", "grey")
_EITHER_WAY = ("shear", "rotation", "brightness", "contrast", "saturation", "hue")
_ANGLES = ("shear", "rotation", "hue")

# What is allowed of the largest of a range, and of both its ends. All else is a probability.
_LARGEST = {
    **{"rotation": 180, "shear": 60, "brightness": 1, "contrast": 1, "saturation": 1},
    **{"hue": 180, "blur": 50, "noise": 128, "crop_rarity": 2},
}
_BETWEEN = {"zoom": (0.05, 20), "crop": (0.05, 1), "jpeg": (1, 100), "cutout": (0.01, 1)}

_NOTHING: Mapping[str, Any] = {
    **{"flip_horizontal": 0.0, "flip_vertical": 0.0},
    **{"rotation": 10.0, "rotation_probability": 0.0},
    **{"zoom": (0.8, 1.25), "zoom_probability": 0.0},
    **{"shear": 10.0, "shear_probability": 0.0},
    **{"crop": (0.5, 0.9), "crop_probability": 0.0, "crop_rarity": 1.0},
    **{"brightness": 0.2, "brightness_probability": 0.0},
    **{"contrast": 0.2, "contrast_probability": 0.0},
    **{"saturation": 0.2, "saturation_probability": 0.0},
    **{"hue": 15.0, "hue_probability": 0.0},
    "grey": 0.0,
    **{"blur": 1.5, "blur_probability": 0.0},
    **{"noise": 10.0, "noise_probability": 0.0},
    **{"jpeg": (40, 90), "jpeg_probability": 0.0},
    **{"cutout": (0.1, 0.3), "cutout_probability": 0.0},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": _NOTHING,
    "light": {
        **_NOTHING,
        "flip_horizontal": 0.5,
        **{"rotation_probability": 1.0, "zoom_probability": 1.0},
        **{"brightness_probability": 1.0, "contrast_probability": 1.0},
        "saturation_probability": 1.0,
    },
    "strong": {
        **_NOTHING,
        "flip_horizontal": 0.5,
        **{"rotation": 30.0, "rotation_probability": 0.8},
        **{"zoom": (0.5, 2.0), "zoom_probability": 0.5},
        "shear_probability": 0.3,
        **{"crop": (0.3, 0.9), "crop_probability": 0.5},
        **{"brightness": 0.4, "brightness_probability": 0.8},
        **{"contrast": 0.4, "contrast_probability": 0.8},
        **{"saturation": 0.5, "saturation_probability": 0.8},
        **{"hue": 20.0, "hue_probability": 0.5},
        "grey": 0.1,
        **{"blur": 2.0, "blur_probability": 0.2},
        **{"noise": 15.0, "noise_probability": 0.2},
        **{"jpeg": (30, 90), "jpeg_probability": 0.2},
        "cutout_probability": 0.3,
    },
    "aerial": {  # up is as good as down; haze and the hour change the colours
        **_NOTHING,
        **{"flip_horizontal": 0.5, "flip_vertical": 0.5},
        **{"rotation": 180.0, "rotation_probability": 1.0},
        "zoom_probability": 0.5,
        "crop_probability": 0.5,
        **{"brightness_probability": 0.8, "contrast_probability": 0.8},
        "saturation_probability": 0.5,
        **{"hue": 10.0, "hue_probability": 0.3},
        **{"blur": 1.0, "blur_probability": 0.1},
    },
    "medical": {  # operations and ranges near nnU-Net's (Isensee et al., Nature Methods 2021)
        **_NOTHING,
        **{"flip_horizontal": 0.5, "flip_vertical": 0.5},
        **{"rotation": 180.0, "rotation_probability": 0.5},
        **{"zoom": (0.7, 1.4), "zoom_probability": 0.5},
        **{"brightness": 0.25, "brightness_probability": 0.3},
        **{"contrast": 0.25, "contrast_probability": 0.3},
        **{"blur": 1.0, "blur_probability": 0.2},
        **{"noise": 15.0, "noise_probability": 0.2},
    },
}


@dataclass(frozen=True)
class Operation:
    """How often an operation happens, and between which settings.

    Attributes:
        probability: 0 to 1.
        low: The smallest setting; of one that goes either way the most negative.
        high: The largest.
    """

    probability: float
    low: float = 1
    high: float = 1

    def describe(self, name: str) -> str:
        """Range and probability of the operation `name`, such as `±10°, 50 %`."""
        often = "always" if self.probability == 1 else f"{self.probability * 100:g} %"
        if name in _NO_RANGE:
            return often
        unit = "°" if name in _ANGLES else ""
        if name in _EITHER_WAY:
            return f"±{self.high:g}{unit}, {often}"
        return f"{self.low:g} to {self.high:g}, {often}"


@dataclass(frozen=True)
class AugmentationConfig:
    """What the augmented copies of training examples go through; image and mask together.

    A preset, and what shall be otherwise: none stands for the preset's value. A range given for
    an operation that the preset leaves out turns it on, with probability 1 unless that is given.
    """

    preset: Preset = "light"
    """Where the settings below come from, unless given. none: nothing. light: mirror images 50 %;
    always rotation ±10°, zoom 0.8 to 1.25, brightness, contrast and saturation ±0.2. strong: at
    times every operation but turning upside down, up to rotation ±30°, zoom 0.5 to 2, crops of
    0.3. aerial: views from above, rotation ±180°, crops. medical: rotation ±180°, zoom 0.7 to
    1.4, noise, blur; no change of colour. docs/ingest.md has the whole table."""
    flip_horizontal: float | None = None
    """Probability of a mirror image."""
    flip_vertical: float | None = None
    """Probability of turning upside down."""
    rotation: float | None = None
    """Largest rotation either way, in degrees."""
    rotation_probability: float | None = None
    """Probability of a rotation."""
    zoom: tuple[float, float] | None = None
    """Smallest and largest magnification."""
    zoom_probability: float | None = None
    """Probability of a zoom."""
    shear: float | None = None
    """Largest slant of vertical lines either way, in degrees."""
    shear_probability: float | None = None
    """Probability of a shear."""
    crop: tuple[float, float] | None = None
    """Smallest and largest side of a crop, as a share of the picture's; it fills the picture."""
    crop_probability: float | None = None
    """Probability of a crop."""
    crop_rarity: float | None = None
    """What crops favour. 0: each pixel is as likely to be seen; 1: each class in the picture,
    however few its pixels; above 1: rare classes more than others."""
    brightness: float | None = None
    """Largest change of brightness, as a share."""
    brightness_probability: float | None = None
    """Probability of a change of brightness."""
    contrast: float | None = None
    """Largest change of contrast, as a share."""
    contrast_probability: float | None = None
    """Probability of a change of contrast."""
    saturation: float | None = None
    """Largest change of saturation, as a share."""
    saturation_probability: float | None = None
    """Probability of a change of saturation."""
    hue: float | None = None
    """Largest turn of the hues either way, in degrees of the colour circle."""
    hue_probability: float | None = None
    """Probability of a change of hue."""
    grey: float | None = None
    """Probability of a picture without colour."""
    blur: float | None = None
    """Largest Gaussian blur: its standard deviation, in stored pixels."""
    blur_probability: float | None = None
    """Probability of a blur."""
    noise: float | None = None
    """Largest Gaussian noise: its standard deviation, in grey values of 0 to 255."""
    noise_probability: float | None = None
    """Probability of noise."""
    jpeg: tuple[int, int] | None = None
    """Lowest and highest quality of JPEG whose artefacts a picture gets."""
    jpeg_probability: float | None = None
    """Probability of JPEG artefacts."""
    cutout: tuple[float, float] | None = None
    """Smallest and largest side of a hole, as a share of the picture's; the mask ignores it."""
    cutout_probability: float | None = None
    """Probability of a hole."""

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                f"--augmentation.preset must be one of {', '.join(PRESETS)}, found {self.preset!r}"
            )
        for name, value in self._given().items():
            flag = f"--augmentation.{name.replace('_', '-')}"
            if name in _BETWEEN:
                _require_between(flag, value, *_BETWEEN[name])
            else:
                require_range(flag, value, 0, _LARGEST.get(name, 1))

    @functools.cached_property
    def operations(self) -> Mapping[str, Operation]:
        """The operations that may happen, in the order in which they are applied."""
        settings = self.settings
        found = {name: _operation(name, settings) for name in OPERATIONS}
        return {name: operation for name, operation in found.items() if operation.probability}

    @functools.cached_property
    def settings(self) -> Mapping[str, Any]:
        """Every setting below `preset`, given or the preset's."""
        given, preset = self._given(), PRESETS[self.preset]
        turned_on = {
            f"{name}_probability": 1.0
            for name in given.keys() & OPERATIONS
            if preset.get(f"{name}_probability") == 0
        }
        return {**preset, **turned_on, **given}

    def resolved(self) -> "AugmentationConfig":
        """The same settings with none left to the preset."""
        return replace(self, **self.settings)

    def _given(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in PRESETS["none"]}
        return {name: value for name, value in values.items() if value is not None}


def _operation(name: str, settings: Mapping[str, Any]) -> Operation:
    if name in _NO_RANGE:
        return Operation(settings[name])
    value = settings[name]
    lowest = -value if name in _EITHER_WAY else 0
    low, high = (lowest, value) if name in _LARGEST else value
    return Operation(settings[f"{name}_probability"], low, high)


def _require_between(flag: str, value: tuple[float, float], least: float, most: float) -> None:
    if not least <= value[0] <= value[1] <= most:
        raise UsageError(
            f"{flag} must be a smaller and a larger number between {least} and {most}, "
            f"found {value[0]} {value[1]}"
        )
