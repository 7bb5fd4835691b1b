"""Finding the label map of an ingest, or saying what one for these masks would look like."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import annotations, contained
from segflow.data.config import DecodeLimits
from segflow.data.layouts import Layout, SourcePaths
from segflow.data.masks import pack_colors
from segflow.data.pair import read_source
from segflow.errors import RejectError, UsageError
from segflow.label_map import LabelMap

SAMPLED_MASKS = 16
_LISTED = 64  # values or colours that a message lists
_DRAFT_CLASSES = 256
_MAX_VALUE = 65535  # what a label map can name
_SMOOTH_VALUES = 8  # more values than so many in masks of mostly two: smoothed outlines

Values = Counter[int]
Colors = Counter[tuple[int, int, int]]


def find_label_map(path: str | None, layout: Layout, paths: SourcePaths) -> LabelMap | None:
    """The label map of `--label-map`, else the layout's own, else None.

    Raises:
        UsageError: The file is no sound label map.
    """
    return LabelMap.load(path) if path is not None else layout.label_map(paths)


def require_label_map(
    label_map: LabelMap | None, rows: Sequence[Mapping[str, Any]], limits: DecodeLimits
) -> LabelMap:
    """Checks that the label map can read masks of the kind found in a sample.

    Args:
        label_map: From `find_label_map`.
        rows: Rows of the plan whose masks to sample.
        limits: Caps.

    Raises:
        UsageError: There is none, or the masks are coloured and it has no colours; the message
            lists what the masks hold and gives a label map to start from.
    """
    values, colors, problem = _sample(rows, limits)
    contained.close()  # the launcher decodes no more
    if label_map is None:
        raise UsageError(_no_label_map(len(rows), values, colors, problem))
    has_hue = any(len(set(color)) > 1 for color in colors)  # grey without hue can be values
    if has_hue and not values and not any(c.color for c in label_map.classes):
        raise UsageError(
            f"{label_map.source}: the masks are colour-coded ({_describe(values, colors)}), but no "
            "class has a 'color'; add [r, g, b] to each"
        )
    return label_map


def _sample(
    rows: Sequence[Mapping[str, Any]], limits: DecodeLimits
) -> tuple[Values, Colors, str | None]:
    """Pixels by value and by colour, and why the first unreadable mask is unreadable."""
    values, colors, problem = Values(), Colors(), None
    for row in rows:
        try:
            raw = _raw_mask(row, limits)
        except RejectError as error:  # its reject comes with the job
            problem = problem or str(error)
            continue
        if raw is None:
            continue
        packed = pack_colors(raw) if raw.ndim == 3 else raw
        found, counts = np.unique(packed, return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            if raw.ndim == 3:
                colors[value >> 16, value >> 8 & 255, value & 255] += count
            else:
                values[value] += count
    return values, colors, problem


def _raw_mask(row: Mapping[str, Any], limits: DecodeLimits) -> NDArray[Any] | None:
    """The values or colours in a mask's file; None for a mask that is drawn."""
    annotation = row.get("annotation")
    if annotation and not annotations.is_of_values(annotation):
        return None
    data = read_source(row["mask_uri"], (None, None), limits, "mask", row.get("mask_part"))
    if annotation:
        return annotations.raw_values(data, limits)
    return contained.decode_raw_mask(data, limits)


def _no_label_map(masks: int, values: Values, colors: Colors, problem: str | None) -> str:
    if not values and not colors:
        nothing = f"no label map, and none of the {masks} masks looked at"
        if problem is None:  # they are drawn, and by names
            return f"{nothing} holds values or colours; pass --label-map"
        return f"{nothing} can be read ({problem}); pass --label-map and mend the masks"
    draft = _draft(values, colors)
    return (
        f"no label map: the {masks} masks looked at hold {_describe(values, colors)}; "
        "write what they mean to a file and pass it as --label-map. "
        + (
            f"A draft: {json.dumps(draft)}"
            if draft["classes"]
            else f"It can name 0 to {_MAX_VALUE}"
        )
    )


def _is_binary(values: Values) -> bool:
    """Whether nearly all pixels are black or white, and outlines of many greys: smoothed masks."""
    extreme = values[min(values)] + values[max(values)]
    return len(values) > _SMOOTH_VALUES and extreme > 0.8 * values.total()


def _describe(values: Values, colors: Colors) -> str:
    names = [f"rgb{color}".replace(" ", "") for color in sorted(colors)]
    parts = [
        f"the {what} {', '.join(listed[:_LISTED])}"
        + (f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else "")
        for what, listed in (("values", [str(v) for v in sorted(values)]), ("colours", names))
        if listed
    ]
    return " and ".join(parts)


def _draft(values: Values, colors: Colors) -> dict[str, Any]:
    if values and not colors and _is_binary(values):
        names = ("background", "foreground")
        classes = [{"id": i, "name": name} for i, name in enumerate(names)]
        return {"classes": classes, "threshold": (min(values) + max(values) + 1) // 2}
    found = sorted(value for value in values if 0 <= value <= _MAX_VALUE)
    ignore_id = 255
    if len(found) > 2 and found[-1] in (255, _MAX_VALUE):  # what void usually is
        ignore_id = found.pop()
    if colors:
        known = [{"color": list(color)} for color in sorted(colors)]
    else:
        direct = found == list(range(len(found)))
        known = [{} if direct else {"raw_ids": [value]} for value in found]
    classes = [
        {"id": i, "name": f"class_{i}", **entry} for i, entry in enumerate(known[:_DRAFT_CLASSES])
    ]
    return {"classes": classes, "ignore_id": _MAX_VALUE if len(classes) > 255 else ignore_id}
