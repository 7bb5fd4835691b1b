"""Label maps: which ids exist, what they are called, and how source masks spell them."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from segflow.errors import UsageError
from segflow.label_map_rules import problems

RGB = tuple[int, int, int]

VOC_VOID: RGB = (224, 224, 192)
"""What Pascal VOC draws object borders in: pixels that do not count."""

_APART = 90  # between two colours in RGB, so that an overlay tells them apart
_KEYS = ("classes", "ignore_id", "ignore_raw_ids", "ignore_colors", "ignore_names", "threshold")
_CLASS_KEYS = ("id", "name", "color", "raw_ids", "raw_names")


@dataclass(frozen=True)
class LabelClass:
    """One class: its id in every mask segflow writes, and how source masks spell it.

    Attributes:
        id: The class id, from 0.
        name: Unique name.
        color: RGB, 0-255; what colour-coded masks use and what pictures are drawn in.
        raw_ids: Values in source masks that mean this class; empty means the id itself.
        raw_names: Labels in annotations that mean this class; empty means the name itself.
    """

    id: int
    name: str
    color: RGB | None = None
    raw_ids: tuple[int, ...] = ()
    raw_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelMap:
    """The classes of a dataset, ids 0 to n - 1, and the id that means "do not count".

    Attributes:
        classes: In order of id.
        ignore_id: The id of pixels that do not count, in every mask segflow writes.
        source: What messages call it.
        ignore_raw_ids: Values in source masks that do not count, besides `ignore_id`.
        ignore_colors: RGB of pixels in colour-coded source masks that do not count.
        ignore_names: Labels in annotations whose objects do not count.
        threshold: For grey masks of two classes: source values from here on mean class 1,
            smaller ones class 0; only `ignore_raw_ids` do not count.

    Raises:
        UsageError: An id or name is repeated, ids do not run from 0, two classes claim one
            source value or colour, a value does not fit 16 bits, or a threshold does not
            part two classes.
    """

    classes: tuple[LabelClass, ...]
    ignore_id: int = 255
    source: str = field(default="label map", compare=False)
    ignore_raw_ids: tuple[int, ...] = ()
    ignore_colors: tuple[RGB, ...] = ()
    ignore_names: tuple[str, ...] = ()
    threshold: int | None = None

    def __post_init__(self) -> None:
        for problem in problems(self):
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

    def difference(self, other: "LabelMap") -> str:
        """What the ids of the two mean differently, such as `classes: a, b and b, a`, or nothing.

        How source masks spell a class, and its colour, matter to masks that are read or drawn,
        not to what an id stands for in a dataset or a model.
        """
        if self.names != other.names:
            return f"classes: {', '.join(self.names)} and {', '.join(other.names)}"
        if self.ignore_id != other.ignore_id:
            return f"ignore id: {self.ignore_id} and {other.ignore_id}"
        return ""

    def palette(self) -> NDArray[np.uint8]:
        """Colours to draw in, uint8 [num_classes, 3]; classes without one get a distinct hue."""
        given = [c.color for c in self.classes if c.color]
        return np.array([c.color or _hue_apart(c.id, given) for c in self.classes], np.uint8)

    @functools.cached_property
    def raw_to_id(self) -> dict[int, int]:
        """Source value to class id or ignore id; a value that is missing here is unknown."""
        table = {raw: c.id for c in self.classes for raw in (c.raw_ids or (c.id,))}
        table |= dict.fromkeys(self.ignore_raw_ids, self.ignore_id)
        table.setdefault(self.ignore_id, self.ignore_id)
        return table

    @functools.cached_property
    def color_to_id(self) -> dict[RGB, int]:
        """Source colour to class id or ignore id; a colour that is missing here is unknown."""
        table = {c.color: c.id for c in self.classes if c.color is not None}
        return table | dict.fromkeys(self.ignore_colors, self.ignore_id)

    @functools.cached_property
    def name_to_id(self) -> dict[str, int]:
        """Label in annotations to class id or ignore id; a label that is missing is unknown."""
        table = {name: c.id for c in self.classes for name in (c.raw_names or (c.name,))}
        return table | dict.fromkeys(self.ignore_names, self.ignore_id)

    def to_dict(self) -> dict[str, Any]:
        """The contract's JSON form."""
        classes: list[dict[str, Any]] = []
        for c in self.classes:
            entry: dict[str, Any] = {"id": c.id, "name": c.name}
            if c.color is not None:
                entry["color"] = list(c.color)
            if c.raw_ids:
                entry["raw_ids"] = list(c.raw_ids)
            if c.raw_names:
                entry["raw_names"] = list(c.raw_names)
            classes.append(entry)
        data: dict[str, Any] = {"classes": classes, "ignore_id": self.ignore_id}
        if self.ignore_raw_ids:
            data["ignore_raw_ids"] = list(self.ignore_raw_ids)
        if self.ignore_colors:
            data["ignore_colors"] = [list(color) for color in self.ignore_colors]
        if self.ignore_names:
            data["ignore_names"] = list(self.ignore_names)
        if self.threshold is not None:
            data["threshold"] = self.threshold
        return data

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
        if unknown := sorted(set(data) - set(_KEYS)):
            raise UsageError(f"{source}: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
        classes = tuple(_read_class(entry, source) for entry in data["classes"])
        ignore_id, threshold = data.get("ignore_id", 255), data.get("threshold")
        for name, value in (("ignore_id", ignore_id), ("threshold", threshold)):
            if not _is_int(value) and (name, value) != ("threshold", None):
                raise UsageError(f"{source}: {name} must be an integer, found {value!r}")
        return cls(
            tuple(sorted(classes, key=lambda c: c.id)),
            ignore_id,
            source,
            _read_ids(data.get("ignore_raw_ids", []), f"{source}: ignore_raw_ids"),
            _read_colors(data.get("ignore_colors", []), f"{source}: ignore_colors"),
            _read_names(data.get("ignore_names", []), f"{source}: ignore_names"),
            threshold,
        )

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


def _read_class(entry: Any, source: str) -> LabelClass:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{source}: a class must be {{'id': …, 'name': …}}, found {entry!r}")
    unknown = sorted(set(entry) - set(_CLASS_KEYS))
    if unknown:
        raise UsageError(
            f"{source}: class {entry.get('name', entry.get('id'))!r} has the unknown key "
            f"{unknown[0]!r}; known: {', '.join(_CLASS_KEYS)}"
        )
    name = entry.get("name")
    if not _is_int(entry.get("id")) or not isinstance(name, str) or not name.strip():
        raise UsageError(f"{source}: a class needs an integer id and a name, found {dict(entry)}")
    what, color = f"{source}: class {name!r}:", entry.get("color")
    rgb = _read_color(color, f"{what} color") if color is not None else None
    raw_ids = _read_ids(entry.get("raw_ids", []), f"{what} raw_ids")
    raw_names = _read_names(entry.get("raw_names", []), f"{what} raw_names")
    return LabelClass(entry["id"], name, rgb, raw_ids, raw_names)


def _read_color(color: Any, what: str) -> RGB:
    if not (
        isinstance(color, Sequence)
        and len(color) == 3
        and all(_is_int(v) and 0 <= v <= 255 for v in color)
    ):
        raise UsageError(f"{what} must be [r, g, b] in 0-255, found {color!r}")
    return color[0], color[1], color[2]


def _read_colors(colors: Any, what: str) -> tuple[RGB, ...]:
    if not isinstance(colors, Sequence):
        raise UsageError(f"{what} must be a list of [r, g, b], found {colors!r}")
    return tuple(_read_color(color, f"{what}: each") for color in colors)


def _read_ids(ids: Any, what: str) -> tuple[int, ...]:
    if not isinstance(ids, Sequence) or not all(_is_int(v) for v in ids):
        raise UsageError(f"{what} must be integers, found {ids!r}")
    return tuple(ids)


def _read_names(names: Any, what: str) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(v, str) for v in names):
        raise UsageError(f"{what} must be a list of strings, found {names!r}")
    return tuple(names)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_cvat(text: str, path: Path) -> dict[str, Any]:
    """CVAT's mask export: lines `name:r,g,b:parts:actions`, `#` starts a comment.

    VOC's void, as CVAT and Datumaro list it among the classes, is ignored.
    """
    classes: list[dict[str, Any]] = []
    ignored: list[list[int]] = []
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
        if name == "ignored" and tuple(color) == VOC_VOID:
            ignored.append(color)
        else:
            classes.append({"id": len(classes), "name": name, "color": color})
    return {"classes": classes, "ignore_colors": ignored}


def _hue_apart(index: int, given: Sequence[RGB]) -> RGB:
    """A colour for class `index` that no given one is like, or of a few the least alike."""

    def distance(color: RGB) -> float:
        return min((math.dist(color, other) for other in given), default=math.inf)

    candidates = [_hue(index + 256 * attempt) for attempt in range(12)]
    apart = (color for color in candidates if distance(color) >= _APART)
    return next(apart, max(candidates, key=distance))


def _hue(index: int) -> tuple[int, int, int]:
    """A colour for class `index`: steps of the golden angle keep neighbours apart."""
    from colorsys import hsv_to_rgb

    r, g, b = hsv_to_rgb(index * 0.618034 % 1.0, 0.65, 0.95 - 0.25 * (index % 3) / 2)
    return round(r * 255), round(g * 255), round(b * 255)
