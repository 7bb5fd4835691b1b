"""Drawings: labelled shapes, one over another, that become a mask of class ids."""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data.annotations.shapes import Region, draw_shape
from segflow.data.config import DecodeLimits
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelMap

Label = int | str
_Object = tuple[Label, Mapping[str, Any]]

_LISTED = 12  # unknown labels that a message names
_UNCOVERED = np.iinfo(np.int32).max  # more pixels than any limit allows


@dataclass(frozen=True)
class Drawing:
    """What to draw into the mask of one image.

    Attributes:
        objects: Label and shape (see `segflow.data.annotations.shapes`) of each object. A label
            is a source value, which the label map's `raw_ids` claim, or a name.
        size: (height, width) that the annotation is made for; None: the image's.
        background: Label of pixels that no object covers; None: they do not count.
        largest_first: Draw in falling order of area in pixels, so that small objects stay in
            sight. Otherwise, and among equals, an object lies on top of those before it.
    """

    objects: Sequence[_Object]
    size: tuple[int, int] | None = None
    background: Label | None = None
    largest_first: bool = False

    def to_json(self) -> str:
        """Compact JSON for the plan."""
        return json.dumps({"kind": "drawing", **vars(self)}, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Drawing":
        """Reads what `to_json` wrote, once it is parsed."""
        size = data["size"]
        return cls(
            [(label, shape) for label, shape in data["objects"]],
            None if size is None else (size[0], size[1]),
            data["background"],
            data["largest_first"],
        )

    def draw(
        self, image_size: tuple[int, int], label_map: LabelMap, limits: DecodeLimits
    ) -> NDArray[Any]:
        """Draws the objects.

        Args:
            image_size: (height, width) where the annotation says none.
            label_map: The classes.
            limits: Caps on the size, on the time between objects, and on decoding a PNG in one.

        Returns:
            `label_map.dtype` [height, width]; every value is a class id or the ignore id.

        Raises:
            RejectError: `unknown_label`, `too_large`, `decoder_timeout`, or `unreadable` for an
                impossible shape.
        """
        size = self.size or image_size
        _require_size(size, limits)
        ids = _ids_of([label for label, _ in self.objects], label_map)
        canvas = np.full(size, label_map.ignore_id, label_map.dtype)
        # The area of the object that is seen at each pixel.
        on_top = np.full(size, _UNCOVERED, np.int32)
        for label, shape in _in_time(self.objects, limits.decode_seconds):
            region = _region(label, shape, size, limits)
            area = np.count_nonzero(region.mask) if self.largest_first else 0
            seen = region.mask & (on_top[region.place] >= area)
            canvas[region.place][seen] = ids[label]
            on_top[region.place][seen] = area
        uncovered = on_top == _UNCOVERED
        if self.background is not None and uncovered.any():
            canvas[uncovered] = _ids_of([self.background], label_map)[self.background]
        return canvas


def _in_time(objects: Sequence[_Object], seconds: float) -> Iterator[_Object]:
    """The objects, as long as there is time; what one of them costs, its shape's size limits."""
    deadline = time.monotonic() + seconds
    for number, labelled in enumerate(objects):
        if time.monotonic() > deadline:
            raise RejectError(
                RejectCode.DECODER_TIMEOUT,
                f"drawing {number} of {len(objects)} objects took longer than {seconds:g} s "
                "(--limits.decode-seconds)",
            )
        yield labelled


def _require_size(size: tuple[int, int], limits: DecodeLimits) -> None:
    height, width = size
    if min(size) < 1 or height * width > limits.max_pixels:
        raise RejectError(
            RejectCode.TOO_LARGE,
            f"{width} x {height} pixels by its annotation; expected 1 to {limits.max_pixels} "
            "(--limits.max-pixels)",
        )


def _ids_of(labels: Iterable[Label], label_map: LabelMap) -> dict[Label, int]:
    tables = (label_map.raw_to_id.items(), label_map.name_to_id.items())
    known: dict[Label, int] = dict(itertools.chain[tuple[Label, int]](*tables))
    wanted = set(labels)
    if unknown := sorted(map(str, wanted - known.keys())):
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise RejectError(
            RejectCode.UNKNOWN_LABEL,
            f"labels that no class claims: {', '.join(unknown[:_LISTED])}{more}; the label map has "
            f"{label_map.num_classes} classes",
        )
    return {label: known[label] for label in wanted}


def _region(
    label: Label, shape: Mapping[str, Any], size: tuple[int, int], limits: DecodeLimits
) -> Region:
    try:
        return draw_shape(shape, size, limits)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise RejectError(
            RejectCode.UNREADABLE, f"an object of label {label!r} cannot be drawn: {error}"
        ) from error
