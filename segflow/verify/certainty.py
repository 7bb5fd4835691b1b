"""Checks how sure a model says it is: ranges, and a run's means against those of its images."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from segflow.label.certainty import MEANS

_ROUNDING = 1e-6  # the record's means are made of millionths of pixels


def image_problems(row: Mapping[str, Any]) -> Iterator[str]:
    """Values of a row of `images` that are not between 0 and 1."""
    for name in MEANS:
        if row[name] is None or not 0 <= row[name] <= 1:
            yield f"{row['image_uri']}: {name} is {row[name]}, not 0 to 1"


def area_problems(row: Mapping[str, Any], *, regions: int | None) -> Iterator[str]:
    """What cannot be in a row of `areas`.

    Args:
        row: The row.
        regions: Of its class in the mask; None if there is no mask, or they were not asked for.
    """
    what = f"{row['image_uri']}: class {row['class_name']}"
    confidence, counted = row["mean_confidence"], row["regions"]
    if confidence is not None and not 0 <= confidence <= 1:
        yield f"{what}: mean_confidence is {confidence}, not 0 to 1"
    if counted is not None and not 1 <= counted <= row["pixels"]:
        yield f"{what}: {counted} regions of {row['pixels']} pixels"
    elif regions is not None and counted != regions:
        yield f"{what}: {counted} regions, the mask has {regions}"


class Means:
    """Means over a run's images, each counting as many times as it has pixels."""

    def __init__(self) -> None:
        self._pixels = 0
        self._sums = dict.fromkeys(MEANS, 0.0)

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row of `images`."""
        pixels = row["height"] * row["width"]
        self._pixels += pixels
        for name in MEANS:
            self._sums[name] += (row[name] or 0) * pixels

    def problems(self, recorded: Mapping[str, float | None]) -> Iterator[str]:
        """Means that are not those of the run's record."""
        for name in MEANS:
            found = self._sums[name] / self._pixels if self._pixels else None
            told = recorded[name]
            if found is None or told is None:
                differ = found is not told
            else:
                differ = not math.isclose(found, told, rel_tol=0, abs_tol=_ROUNDING)
            if differ:
                yield f"{name} of all images: {found} found, the record says {told}"
