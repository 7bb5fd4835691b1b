"""Label maps: which ids exist, what they are called, and how source masks spell them."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from segflow.errors import UsageError

_MAX_ID = 65535  # masks are stored as PNG, at most 16 bits deep


@dataclass(frozen=True)
class LabelClass:
    """One class: its id in every mask segflow writes, and how source masks spell it.

    Attributes:
        id: The class id, from 0.
        name: Unique name.
        color: RGB, 0-255; what colour-coded masks use and what pictures are drawn in.
        raw_ids: Values in source masks that mean this class; empty means the id itself.
    """

    id: int
    name: str
    color: tuple[int, int, int] | None = None
    raw_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class LabelMap:
    """The classes of a dataset, ids 0 to n - 1, and the id that means "do not count".

    Raises:
        UsageError: An id or name is repeated, ids do not run from 0, two classes claim one
            source value or colour, or a value does not fit 16 bits.
    """

    classes: tuple[LabelClass, ...]
    ignore_id: int = 255
    source: str = field(default="label map", compare=False)

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise UsageError(f"{self.source}: {problem}")

    @property
    def num_classes(self) -> int:
        """Number of classes, the ignore id left out."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order of id."""
        return tuple(c.name for c in self.classes)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The narrowest of uint8 and uint16 that holds every id."""
        return np.uint8 if max(self.ignore_id, self.num_classes - 1) <= 255 else np.uint16

    @property
    def has_colors(self) -> bool:
        """Whether colour-coded masks can be read: every class has a colour."""
        return all(c.color is not None for c in self.classes)

    def palette(self) -> NDArray[np.uint8]:
        """Colours to draw in, uint8 [num_classes, 3]; classes without one get a distinct hue."""
        return np.array([c.color or _hue(c.id) for c in self.classes], np.uint8)

    @functools.cached_property
    def raw_to_id(self) -> dict[int, int]:
        """Source value to class id or ignore id; a value that is missing here is unknown."""
        table = {raw: c.id for c in self.classes for raw in (c.raw_ids or (c.id,))}
        table.setdefault(self.ignore_id, self.ignore_id)
        return table

    def to_dict(self) -> dict[str, Any]:
        """The contract's JSON form."""
        classes: list[dict[str, Any]] = []
        for c in self.classes:
            entry: dict[str, Any] = {"id": c.id, "name": c.name}
            if c.color is not None:
                entry["color"] = list(c.color)
            if c.raw_ids:
                entry["raw_ids"] = list(c.raw_ids)
            classes.append(entry)
        return {"classes": classes, "ignore_id": self.ignore_id}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "label map") -> "LabelMap":
        """Builds one from the contract's JSON form.

        Raises:
            UsageError: A key is missing, unknown, or has the wrong type.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("classes"), list | tuple):
            raise UsageError(
                f"{source}: expected {{'classes': [{{'id': 0, 'name': …}}, …], 'ignore_id': 255}}, "
                f"found {str(data)[:80]!r}"
            )
        unknown = sorted(set(data) - {"classes", "ignore_id"})
        if unknown:
            raise UsageError(f"{source}: unknown key {unknown[0]!r}; known: classes, ignore_id")
        classes = tuple(_read_class(entry, source) for entry in data["classes"])
        ignore_id = data.get("ignore_id", 255)
        if not _is_int(ignore_id):
            raise UsageError(f"{source}: ignore_id must be an integer, found {ignore_id!r}")
        return cls(tuple(sorted(classes, key=lambda c: c.id)), ignore_id, source)

    @classmethod
    def load(cls, path: str | Path) -> "LabelMap":
        """Reads JSON, YAML, or CVAT's `labelmap.txt`.

        Raises:
            UsageError: The file is missing or is no label map.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")  # editors on Windows add the mark
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"label map {path}: cannot be read: {error}") from error
        if path.suffix == ".txt":
            return cls.from_dict(_parse_cvat(text, path), str(path))
        try:
            data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())  # YAML's messages have several lines
            raise UsageError(f"label map {path}: not valid JSON or YAML: {reason}") from error
        return cls.from_dict(data, str(path))


def _problems(label_map: LabelMap) -> list[str]:
    classes, problems = label_map.classes, []
    if not classes:
        problems.append("no classes; list at least one under 'classes'")
    for what, values in (("id", [c.id for c in classes]), ("name", [c.name for c in classes])):
        if repeated := _first_repeated(values):
            problems.append(f"the {what} {repeated[0]!r} is used twice; make it unique")
    if not problems and [c.id for c in classes] != list(range(len(classes))):
        problems.append(
            f"ids must run 0, 1, 2, …; found {[c.id for c in classes][:12]}; "
            "give source values as 'raw_ids'"
        )
    if 0 <= label_map.ignore_id < len(classes):
        problems.append(f"ignore_id {label_map.ignore_id} is also a class id; choose another")
    raw = [value for c in classes for value in (c.raw_ids or (c.id,))]
    if not problems and (repeated := _first_repeated(raw)):
        problems.append(f"the source value {repeated[0]} is claimed twice; give it to one class")
    if repeated := _first_repeated([c.color for c in classes if c.color]):
        problems.append(f"two classes have the colour {repeated[0]}")
    out_of_range = [v for v in [*raw, label_map.ignore_id] if not 0 <= v <= _MAX_ID]
    if out_of_range:
        problems.append(f"{out_of_range[0]} is outside 0 to {_MAX_ID}")
    return problems


def _first_repeated(values: Sequence[Any]) -> list[Any]:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return [value]
        seen.add(value)
    return []


def _read_class(entry: Any, source: str) -> LabelClass:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{source}: a class must be {{'id': …, 'name': …}}, found {entry!r}")
    unknown = sorted(set(entry) - {"id", "name", "color", "raw_ids"})
    if unknown:
        raise UsageError(
            f"{source}: class {entry.get('name')!r} has the unknown key {unknown[0]!r}; "
            "known: id, name, color, raw_ids"
        )
    name = entry.get("name")
    if not _is_int(entry.get("id")) or not isinstance(name, str) or not name.strip():
        raise UsageError(f"{source}: a class needs an integer id and a name, found {dict(entry)}")
    color, raw_ids = entry.get("color"), entry.get("raw_ids", [])
    if color is not None and not (
        isinstance(color, Sequence)
        and len(color) == 3
        and all(_is_int(v) and 0 <= v <= 255 for v in color)
    ):
        raise UsageError(
            f"{source}: class {name!r}: color must be [r, g, b] in 0-255, found {color!r}"
        )
    if not isinstance(raw_ids, Sequence) or not all(_is_int(v) for v in raw_ids):
        raise UsageError(f"{source}: class {name!r}: raw_ids must be integers, found {raw_ids!r}")
    rgb = (color[0], color[1], color[2]) if color is not None else None
    return LabelClass(entry["id"], name, rgb, tuple(raw_ids))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_cvat(text: str, path: Path) -> dict[str, Any]:
    """CVAT's mask export: lines `name:r,g,b:parts:actions`, `#` starts a comment."""
    classes: list[dict[str, Any]] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            color = [int(v) for v in rest.partition(":")[0].split(",")]
        except ValueError as error:
            raise UsageError(
                f"label map {path}: expected 'name:r,g,b::', found {line!r}"
            ) from error
        classes.append({"id": len(classes), "name": name, "color": color})
    return {"classes": classes}


def _hue(index: int) -> tuple[int, int, int]:
    """A colour for class `index`: steps of the golden angle keep neighbours apart."""
    from colorsys import hsv_to_rgb

    r, g, b = hsv_to_rgb(index * 0.618034 % 1.0, 0.65, 0.95 - 0.25 * (index % 3) / 2)
    return round(r * 255), round(g * 255), round(b * 255)
