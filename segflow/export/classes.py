"""The classes of exported masks: their colours, and the files that name them."""

from collections.abc import Mapping, Sequence
from typing import Any

from segflow.errors import UsageError
from segflow.label_map import RGB, VOC_VOID, LabelClass, LabelMap

LABEL_MAP = "labels.json"
"""What the label map for `segflow ingest` is called in an exported tree."""

_COLORS = 1 << 24


def distinct_colors(label_map: LabelMap) -> list[RGB]:
    """A colour for each class, in order of id; no two are equal, and none is VOC's void.

    Colours that the label map gives are kept.
    """
    taken = {VOC_VOID, *(c.color for c in label_map.classes if c.color is not None)}
    colors = []
    for c, hue in zip(label_map.classes, label_map.palette().tolist(), strict=True):
        color = c.color
        if color is None:
            color = _free(hue, taken)
            taken.add(color)
        colors.append(color)
    return colors


def exported_label_map(label_map: LabelMap, colors: Sequence[RGB], first: int = 0) -> LabelMap:
    """The classes as exported masks spell them: class 0 as the value `first`, and so on.

    Where `first` is not 0, the value 0 means that nobody has said anything of a pixel, which then
    does not count.
    """
    classes = tuple(
        LabelClass(c.id, c.name, color, (c.id + first,) if first else ())
        for c, color in zip(label_map.classes, colors, strict=True)
    )
    return LabelMap(classes, label_map.ignore_id, ignore_raw_ids=(0,) if first else ())


def labelmap_txt(label_map: LabelMap, colors: Sequence[RGB], flag: str) -> bytes:
    """CVAT's `labelmap.txt`, as `LabelMap.load` reads it.

    Raises:
        UsageError: A class has a name that cannot stand in it, or its colour is VOC's void.
    """
    lines = ["# label:color_rgb:parts:actions"]
    for c, color in zip(label_map.classes, colors, strict=True):
        if ":" in c.name or c.name.startswith("#") or not c.name.isprintable():
            raise UsageError(
                f"{flag}: the class {c.name!r} cannot be written to labelmap.txt, which takes no "
                "colon, leading # or control character; choose --format png or coco"
            )
        if color == VOC_VOID:
            raise UsageError(
                f"{flag}: the class {c.name!r} has the colour {VOC_VOID}, which means void there; "
                "choose --format png or coco"
            )
        lines.append(f"{c.name}:{','.join(map(str, color))}::")
    return "".join(f"{line}\n" for line in lines).encode()


def categories(label_map: LabelMap, colors: Sequence[RGB], first: int) -> list[Mapping[str, Any]]:
    """COCO's categories; their ids run from `first`."""
    return [
        {"id": c.id + first, "name": c.name, "supercategory": "", "color": list(color)}
        for c, color in zip(label_map.classes, colors, strict=True)
    ]


def _free(color: Sequence[int], taken: set[RGB]) -> RGB:
    """The colour, or the next that nobody has."""
    packed = color[0] << 16 | color[1] << 8 | color[2]
    while (found := (packed >> 16, packed >> 8 & 255, packed & 255)) in taken:
        packed = (packed + 1) % _COLORS
    return found
