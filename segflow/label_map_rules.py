"""What must hold of the ids, names, colours and source values of a label map."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segflow.label_map import LabelMap

_MAX_ID = 65535  # masks are stored as PNG, at most 16 bits deep


def problems(label_map: "LabelMap") -> list[str]:
    """What is wrong with a label map, and what to do about it; empty if nothing is."""
    classes, found = label_map.classes, []
    if not classes:
        found.append("no classes; list at least one under 'classes'")
    for what, values in (("id", [c.id for c in classes]), ("name", [c.name for c in classes])):
        if repeated := _first_repeated(values):
            found.append(f"the {what} {repeated[0]!r} is used twice; make it unique")
    if not found and [c.id for c in classes] != list(range(len(classes))):
        found.append(
            f"ids must run 0, 1, 2, …; found {[c.id for c in classes][:12]}; "
            "give source values as 'raw_ids'"
        )
    if 0 <= label_map.ignore_id < len(classes):
        found.append(f"ignore_id {label_map.ignore_id} is also a class id; choose another")
    if label_map.threshold is not None:
        if len(classes) != 2 or any(c.raw_ids for c in classes):
            found.append("a threshold parts two classes without raw_ids; leave it out")
        elif not 1 <= label_map.threshold <= _MAX_ID:
            found.append(f"threshold {label_map.threshold} is outside 1 to {_MAX_ID}")
    raw = [value for c in classes for value in (c.raw_ids or (c.id,))]
    if label_map.threshold is not None:
        raw = []  # no class claims single values
    raw += label_map.ignore_raw_ids
    names = [name for c in classes for name in (c.raw_names or (c.name,))]
    if not found and (repeated := _first_repeated([*names, *label_map.ignore_names])):
        found.append(f"the label {repeated[0]!r} is claimed twice; give it to one class")
    if not found and (repeated := _first_repeated(raw)):
        found.append(f"the source value {repeated[0]} is claimed twice; give it to one class")
    colors = [*(c.color for c in classes if c.color), *label_map.ignore_colors]
    if repeated := _first_repeated(colors):
        found.append(f"the colour {repeated[0]} is used twice; give it to one class")
    out_of_range = [v for v in [*raw, label_map.ignore_id] if not 0 <= v <= _MAX_ID]
    if out_of_range:
        found.append(f"{out_of_range[0]} is outside 0 to {_MAX_ID}")
    return found


def _first_repeated(values: Sequence[Any]) -> list[Any]:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return [value]
        seen.add(value)
    return []
