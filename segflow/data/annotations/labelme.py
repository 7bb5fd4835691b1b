"""LabelMe's JSON, as the annotation tool writes it beside each image."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from segflow.data.annotations.drawing import Drawing
from segflow.data.annotations.shapes import rectangle
from segflow.errors import RejectCode, RejectError

BACKGROUND = "_background_"
"""What LabelMe's own converters call pixels that no shape covers."""
IGNORE = "__ignore__"
"""What they call shapes that do not count."""

_BROKEN = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError)
_NO_AREA = ("line", "linestrip", "point", "points")


def read(data: bytes) -> Mapping[str, Any]:
    """Parses the file.

    Raises:
        RejectError: It is no JSON of LabelMe's.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RejectError(RejectCode.UNREADABLE, f"not valid JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise RejectError(RejectCode.UNREADABLE, "no JSON of LabelMe's: it has no list 'shapes'")
    return content


def parse(data: bytes) -> Drawing:
    """What a file draws: its shapes in order, later ones on top.

    Polygons, rectangles, circles and masks are drawn; lines and points have no area.

    Raises:
        RejectError: It is no JSON of LabelMe's, or a shape is of an unknown kind.
    """
    content = read(data)
    objects = []
    for shape in content["shapes"]:
        try:
            drawn = _shape(shape)
            if drawn is not None:
                objects.append((str(shape["label"]), drawn))
        except _BROKEN as error:
            raise RejectError(RejectCode.UNREADABLE, f"a shape is broken: {error!r}") from error
    height, width = content.get("imageHeight"), content.get("imageWidth")
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return Drawing(objects, size, background=BACKGROUND)


def labels(data: bytes) -> Iterator[str]:
    """The label of each shape.

    Raises:
        RejectError: See `read`.
    """
    for shape in read(data)["shapes"]:
        if isinstance(shape, dict) and isinstance(shape.get("label"), str):
            yield shape["label"]


def _shape(shape: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind in _NO_AREA:
        return None
    if kind == "polygon":
        return {"polygons": [[value for point in points for value in point]]}
    (x, y), (other_x, other_y) = points[:2]
    if kind == "rectangle":
        return rectangle(min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y))
    if kind == "circle":
        radius = math.hypot(other_x - x, other_y - y)
        return {"ellipse": [x, y, radius, radius, 0]}
    if kind == "mask":
        return {"png": shape["mask"], "box": [round(x), round(y)]}
    raise ValueError(f"shape type {kind!r} is not supported")
