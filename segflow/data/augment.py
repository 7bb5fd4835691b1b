"""The changes of one augmented copy: chosen by a seed, recorded as JSON, read back.

Every number comes from its own hash of (seed, key, variant, operation), so that turning one
operation on or off leaves the others of an example as they were. Numbers are rounded to what the
record shows: the copy is made of the record and of nothing else.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import hashing
from segflow.data.augment_config import AugmentationConfig, Operation

Window = tuple[float, float, float]

_DECIMALS = 6
_POSSIBLE = {"zoom": (0.01, 100), "blur": (0, 100), "jpeg": (0, 100)}


@dataclass(frozen=True)
class Augmentation:
    """What happens to one copy, in the order in which it happens; the defaults change nothing.

    Attributes:
        crop: The part that fills the picture: (left, top, side) as shares of width, height and
            both.
        flip_horizontal: Left becomes right.
        flip_vertical: Top becomes bottom.
        shear: Slant of vertical lines, in degrees.
        rotation: Degrees, counter-clockwise.
        zoom: Factor of scale; above 1 enlarges.
        brightness: Factor.
        contrast: Factor.
        saturation: Factor.
        hue: Turn of the colour circle, in degrees.
        grey: All colour is taken out.
        blur: Standard deviation of a Gaussian, in pixels.
        noise: Standard deviation of Gaussian noise, in grey values.
        noise_seed: Of the noise's generator.
        jpeg: Quality of the JPEG whose artefacts the picture gets; 0: none.
        cutout: A hole: (left, top, side) as for `crop`; it may reach beyond the border.
    """

    crop: Window = (0.0, 0.0, 1.0)
    flip_horizontal: bool = False
    flip_vertical: bool = False
    shear: float = 0.0
    rotation: float = 0.0
    zoom: float = 1.0
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    grey: bool = False
    blur: float = 0.0
    noise: float = 0.0
    noise_seed: int = 0
    jpeg: int = 0
    cutout: Window = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Raises `ValueError` for what cannot be made, or not within reason: rows are input."""
        for name in ("zoom", "blur", "jpeg"):
            low, high = _POSSIBLE[name]
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low} to {high}, found {getattr(self, name)}")

    def to_json(self) -> str:
        """What differs from the defaults, as canonical JSON; `{}` where nothing happens."""
        changed = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {f.name: changed[f.name] for f in fields(self) if changed[f.name] != f.default}
        return hashing.canonical_json(kept).decode()

    @classmethod
    def from_json(cls, text: str) -> "Augmentation":
        """The inverse of `to_json`.

        Raises:
            ValueError: It is no such JSON, names something unknown, or holds a wrong value.
        """
        values = json.loads(text)
        kinds = {f.name: f.default for f in fields(cls)}
        if not isinstance(values, dict) or not all(
            name in kinds and _is_like(value, kinds[name]) for name, value in values.items()
        ):
            raise ValueError(f"not a recorded augmentation: {text[:200]}")
        arguments: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**arguments)


def choose(
    config: AugmentationConfig, seed: int, key: str, variant: int, mask: NDArray[Any], classes: int
) -> Augmentation:
    """The augmentation of a key's variant: a pure function of its arguments.

    Args:
        config: Which operations, how often and how large.
        seed: The dataset's.
        key: The example's.
        variant: 1 for the first copy.
        mask: Ids at stored size, [height, width]; crops look for rare classes in it.
        classes: Ids from here on are ignored.
    """

    def draw(*what: str) -> float:
        return hashing.unit_interval("augment", seed, key, variant, *what)

    happening = {
        name: operation
        for name, operation in config.operations.items()
        if draw(name, "happens") < operation.probability
    }
    chosen: dict[str, Any] = {}
    for name, operation in happening.items():
        if name == "crop":
            focus = _focus(mask, classes, config.settings["crop_rarity"], draw)
            chosen[name] = _crop(operation, focus, draw)
        elif name == "cutout":
            chosen[name] = _hole(operation, draw)
        else:
            chosen[name] = setting(name, operation, draw(name))
        if name == "noise":
            chosen["noise_seed"] = int(draw(name, "seed") * 2**32)
    return Augmentation(**chosen)


def setting(name: str, operation: Operation, at: float) -> Any:
    """An operation's setting at a place between its smallest (0) and its largest (1)."""
    if name in ("flip_horizontal", "flip_vertical", "grey"):
        return True
    if name == "zoom":  # even in the logarithm: twice is as likely as half
        return round(operation.low * (operation.high / operation.low) ** at, _DECIMALS)
    value = operation.low + at * (operation.high - operation.low)
    if name in ("brightness", "contrast", "saturation"):
        return round(1 + value, _DECIMALS)
    return round(value) if name == "jpeg" else round(value, _DECIMALS)


def strongest(name: str, operation: Operation) -> Augmentation:
    """An operation alone at the setting that changes most; crops and holes in the middle."""
    smallest = name in ("crop", "jpeg") or (name == "zoom" and operation.low * operation.high < 1)
    value = setting(name, operation, 0.0 if smallest else 1.0)
    if name in ("crop", "cutout"):
        value = ((1 - value) / 2, (1 - value) / 2, value)
    alone: dict[str, Any] = {name: value}
    return Augmentation(**alone)


def _focus(
    mask: NDArray[Any], classes: int, rarity: float, draw: Callable[..., float]
) -> tuple[float, float]:
    """A pixel that a crop shall show, as shares of width and height.

    A class with n pixels is taken with a weight of n ** (1 - rarity), then each of its pixels
    alike; a mask of ignored pixels only has the whole picture for its one class.
    """
    flat = mask.ravel()
    pixels = np.bincount(flat, minlength=classes)[:classes]
    there = np.flatnonzero(pixels)
    candidates = np.arange(flat.size)
    if there.size:
        weights = np.cumsum(pixels[there].astype(np.float64) ** (1 - rarity))
        place = np.searchsorted(weights, draw("crop", "class") * weights[-1], side="right")
        candidates = np.flatnonzero(flat == there[min(int(place), there.size - 1)])
    row, column = divmod(
        int(candidates[int(draw("crop", "pixel") * candidates.size)]), mask.shape[1]
    )
    return (column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]


def _crop(operation: Operation, focus: tuple[float, float], draw: Callable[..., float]) -> Window:
    """A window inside the picture that holds `focus`, at any place of the window alike."""
    side = setting("crop", operation, draw("crop"))
    left, top = (
        min(max(at - draw("crop", axis) * side, 0.0), 1.0 - side)
        for at, axis in zip(focus, ("x", "y"), strict=True)
    )
    return round(left, _DECIMALS), round(top, _DECIMALS), side


def _hole(operation: Operation, draw: Callable[..., float]) -> Window:
    """A hole whose centre is anywhere in the picture (DeVries and Taylor 2017, section 3.2)."""
    side = setting("cutout", operation, draw("cutout"))
    left, top = (round(draw("cutout", axis) - side / 2, _DECIMALS) for axis in ("x", "y"))
    return left, top, side


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value from JSON has the type of a field's default, and is finite."""
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == 3 and all(_is_like(v, 0.0) for v in value)
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
