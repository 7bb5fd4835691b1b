"""Finding the label map of an ingest, or saying what one for these masks would look like."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import annotations
from segflow.data.config import DecodeLimits
from segflow.data.decode import read_bytes
from segflow.data.layouts import Layout, SourcePaths
from segflow.data.masks import decode_raw_mask, pack_colors
from segflow.errors import RejectError, UsageError
from segflow.label_map import LabelMap

SAMPLED_MASKS = 16
_DRAFT_CLASSES = 64


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
    values, colors = _sample(rows, limits)
    if label_map is None:
        raise UsageError(
            f"no label map: the {len(rows)} masks looked at hold {_describe(values, colors)}; "
            f"write what they mean to a file and pass it as --label-map. A draft: "
            f"{json.dumps(_draft(values, colors))}"
        )
    if colors and not values and not any(c.color for c in label_map.classes):
        raise UsageError(
            f"{label_map.source}: the masks are colour-coded ({_describe(values, colors)}), but no "
            "class has a 'color'; add [r, g, b] to each"
        )
    return label_map


def _sample(
    rows: Sequence[Mapping[str, Any]], limits: DecodeLimits
) -> tuple[Counter[int], Counter[tuple[int, int, int]]]:
    values: Counter[int] = Counter()
    colors: Counter[tuple[int, int, int]] = Counter()
    for row in rows:
        try:
            raw = _raw_mask(row, limits)
        except RejectError:
            continue  # its reject comes with the job
        if raw is None:
            continue
        packed = pack_colors(raw) if raw.ndim == 3 else raw
        found, counts = np.unique(packed, return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            if raw.ndim == 3:
                colors[value >> 16, value >> 8 & 255, value & 255] += count
            else:
                values[value] += count
    return values, colors


def _raw_mask(row: Mapping[str, Any], limits: DecodeLimits) -> NDArray[Any] | None:
    """The values or colours in a mask's file; None for a mask that is drawn."""
    annotation = row.get("annotation")
    if annotation and not annotations.is_of_values(annotation):
        return None
    data = read_bytes(row["mask_uri"], limits)
    if annotation:
        return annotations.raw_values(data, limits)
    return decode_raw_mask(data, limits)


def _describe(values: Counter[int], colors: Counter[tuple[int, int, int]]) -> str:
    parts = []
    if values:
        parts.append("the values " + ", ".join(map(str, sorted(values)[:_DRAFT_CLASSES])))
    if colors:
        listed = [f"rgb{c}".replace(" ", "") for c in sorted(colors)[:_DRAFT_CLASSES]]
        parts.append("the colours " + ", ".join(listed))
    return " and ".join(parts) or "nothing readable"


def _draft(values: Counter[int], colors: Counter[tuple[int, int, int]]) -> dict[str, Any]:
    if colors:
        known = [{"color": list(color)} for color in sorted(colors)[:_DRAFT_CLASSES]]
    else:
        usual_ignore = max(values, default=0) == 255 and len(values) > 2
        found = [v for v in sorted(values)[:_DRAFT_CLASSES] if not (usual_ignore and v == 255)]
        direct = found == list(range(len(found)))
        known = [{} if direct else {"raw_ids": [value]} for value in found]
    classes = [{"id": i, "name": f"class_{i}", **entry} for i, entry in enumerate(known)]
    return {"classes": classes, "ignore_id": 255}
