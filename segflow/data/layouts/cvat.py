"""CVAT: "CVAT for images" (XML of shapes), or its mask export (SegmentationClass, labelmap.txt)."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segflow.data.annotations import Drawing
from segflow.data.annotations.shapes import rectangle
from segflow.data.layouts.base import (
    SourceFile,
    SourcePaths,
    canonical_split,
    require_no_masks,
)
from segflow.data.layouts.voc import LABEL_MAP, MASKS, voc_sources
from segflow.data.listing import Listed, list_entry, without_extension
from segflow.errors import RejectCode, UsageError
from segflow.label_map import RGB, LabelClass, LabelMap

_BACKGROUND = "background"
_IMAGES = "images"
_CHUNK = 1 << 20  # bytes

Element = ElementTree.Element


@dataclass(frozen=True)
class Cvat:
    """Shapes are drawn by their z_order, later ones on top; what none covers is background."""

    name: str = "cvat"

    def recognise(self, paths: SourcePaths) -> str | None:
        """The mask export's two names, or an XML file that begins with CVAT's root element."""
        root = Path(paths.images)
        if paths.has_own_masks or not root.is_dir():
            return None
        if _is_mask_export(root):
            return f"it holds {MASKS}/ and {LABEL_MAP}"
        found = _xml_files(root)
        return f"{found[0].name} holds CVAT's annotations" if found else None

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Images and masks; the key is the image's name, with its subset in front."""
        root = require_no_masks(self.name, paths)
        if _is_mask_export(root):
            yield from voc_sources(root)
            return
        files = _xml_files(root)
        if not files:
            raise UsageError(
                f"--images {root}: expected annotations.xml of a CVAT export for images, or "
                f"{MASKS}/ and {LABEL_MAP}; found neither"
            )
        for path in files:
            for element in _elements(path, "image"):
                yield from _sources(element, path, root)

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """labelmap.txt of a mask export; else background and the labels of the XML, in order."""
        root = Path(paths.images)
        if _is_mask_export(root):
            return LabelMap.load(root / LABEL_MAP)
        labels: dict[str, RGB | None] = {}
        for path in _xml_files(root):
            for element in _elements(path, "label"):
                if name := element.findtext("name"):
                    labels.setdefault(name, _color(element.findtext("color") or ""))
        names = [_BACKGROUND, *(name for name in labels if name != _BACKGROUND)]
        seen: set[RGB | None] = {None}
        classes: list[LabelClass] = []
        for name in names:
            color = labels.get(name)
            classes.append(LabelClass(len(classes), name, None if color in seen else color))
            seen.add(color)
        return LabelMap(tuple(classes), source=f"the labels of CVAT's annotations in {root}")


def _sources(element: Element, path: Path, root: Path) -> Iterator[SourceFile]:
    name, subset = element.get("name", ""), element.get("subset", "")
    split = canonical_split(subset) if subset else None
    key = without_extension(f"{subset}/{name}" if split else name)
    yield SourceFile("image", _image(name, subset, key, root), key, split)
    try:
        drawing = _drawing(element).to_json()
    except (KeyError, ValueError, OverflowError) as error:
        message = f"its annotation is broken: {error!r}"
        file = Listed(str(path), key, 0, 0, RejectCode.UNREADABLE, message)
        yield SourceFile("mask", file, key, split)
    else:
        yield SourceFile("mask", Listed(str(path), key, len(drawing), 0), key, split, drawing)


def _image(name: str, subset: str, key: str, root: Path) -> Listed:
    """The file of an image, in the first of the places where CVAT and people put it."""
    places = [f"{_IMAGES}/{subset}/{name}"] if subset else []
    places += [f"{_IMAGES}/{name}", name]
    files = [list_entry(root, p, key, RejectCode.MISSING_IMAGE, confined=True) for p in places]
    return next((file for file in files if file.code is None), files[0])


def _drawing(element: Element) -> Drawing:
    shapes = sorted(
        (shape for shape in element if shape.tag in _SHAPES),
        key=lambda shape: int(shape.get("z_order", 0)),
    )
    objects = [(shape.get("label", ""), _SHAPES[shape.tag](shape.attrib)) for shape in shapes]
    size = int(element.attrib["height"]), int(element.attrib["width"])
    return Drawing(objects, size, _BACKGROUND)


def _polygon(attributes: Mapping[str, str]) -> dict[str, Any]:
    return {"polygons": [[float(v) for v in re.split("[;,]", attributes["points"])]]}


def _box(attributes: Mapping[str, str]) -> dict[str, Any]:
    """A box, turned clockwise about its centre."""
    left, top, right, bottom = (float(attributes[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(float(attributes.get("rotation", 0)))
    if not angle:
        return rectangle(left, top, right, bottom)
    x, y, cos, sin = (left + right) / 2, (top + bottom) / 2, math.cos(angle), math.sin(angle)
    corners = (
        (left - x, top - y),
        (right - x, top - y),
        (right - x, bottom - y),
        (left - x, bottom - y),
    )
    turned = [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in corners]
    return {"polygons": [[value for point in turned for value in point]]}


def _mask(attributes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "runs": [int(v) for v in attributes["rle"].split(",")],
        "box": [int(float(attributes[side])) for side in ("left", "top", "width", "height")],
    }


def _ellipse(attributes: Mapping[str, str]) -> dict[str, Any]:
    values = [float(attributes[name]) for name in ("cx", "cy", "rx", "ry")]
    return {"ellipse": [*values, float(attributes.get("rotation", 0))]}


# Polylines, points, skeletons and tags have no area: CVAT's mask export leaves them out, too.
_SHAPES: Mapping[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
    "polygon": _polygon,
    "box": _box,
    "mask": _mask,
    "ellipse": _ellipse,
}


def _color(text: str) -> RGB | None:
    match = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text)
    return (int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def _is_mask_export(root: Path) -> bool:
    return (root / MASKS).is_dir() and (root / LABEL_MAP).is_file()


def _xml_files(root: Path) -> list[Path]:
    """XML files in the root itself whose root element is CVAT's."""
    files = []
    for path in sorted(path for path in root.glob("*.xml") if path.is_file()):
        with path.open("rb") as file:
            if b"<annotations" in file.read(4096):
                files.append(path)
    return files


class _Builder(ElementTree.TreeBuilder):
    """Collects the elements of one name; the rest of the tree is dropped as it grows.

    A document type is refused: it is where entities that swell or read files are declared.
    """

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.found: list[Element] = []
        self._tag = tag
        self._root: Element | None = None

    def doctype(self, name: str, pubid: str, system: str) -> None:
        """Called at its start, before any entity is known."""
        raise UsageError("a document type (DTD); CVAT writes none, so remove it")

    def start(self, tag: str, attrs: Mapping[str, str]) -> Element:
        """Notes the root."""
        if tag == "track":
            raise UsageError("an export for video; choose 'CVAT for images' instead")
        element = super().start(tag, dict(attrs))
        self._root = element if self._root is None else self._root
        return element

    def end(self, tag: str) -> Element:
        """Takes a complete element."""
        element = super().end(tag)
        if tag == self._tag:
            self.found.append(element)
        if tag == "image" and self._root is not None:
            self._root.clear()
        return element


def _elements(path: Path, tag: str) -> Iterator[Element]:
    """The elements of that name, in order and in bounded memory.

    Raises:
        UsageError: The XML is broken, for video, or declares a document type.
    """
    builder = _Builder(tag)
    parser = ElementTree.XMLParser(target=builder)
    try:
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                parser.feed(data)
                yield from builder.found
                builder.found.clear()
            parser.close()
    except (OSError, ElementTree.ParseError, UsageError, LookupError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    yield from builder.found
