"""COCO: annotations/KIND_SPLIT.json with images/SPLIT/ (Lin et al. 2014, Kirillov et al. 2019)."""

import json
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segflow.data.annotations import Drawing, panoptic
from segflow.data.layouts.base import SourceFile, SourcePaths, canonical_split
from segflow.data.listing import Listed, list_entry, without_extension
from segflow.errors import RejectCode, RejectError, UsageError
from segflow.label_map import LabelClass, LabelMap

_KINDS = ("instances", "panoptic", "stuff")
_ROBOFLOW = "_annotations.coco.json"
_BACKGROUND = "background"
_FREE_VALUE = 65535  # the background's source value where a category has the id 0

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Coco:
    """Instances and stuff are drawn, the largest first; panoptic masks are PNG files.

    A JSON file is read whole, as pycocotools does.
    """

    name: str = "coco"

    def recognise(self, paths: SourcePaths) -> str | None:
        """There are annotation files by COCO's names, or --masks names JSON files."""
        if paths.has_own_masks:
            return "--masks names JSON files" if _asks_for_files(paths.masks or "") else None
        found = _own_files(Path(paths.images))
        return f"it holds {found[0].relative_to(paths.images)}" if found else None

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Every listed image, and its mask; the key is the path relative to the root."""
        for path in _files(paths):
            yield from _File.load(path).sources(Path(paths.images))

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """The categories by their ids; for instances, what none covers is background, class 0."""
        files = [(path, *_categories(path)) for path in _files(paths)]
        categories: dict[int, Record] = {}
        for path, found, _ in files:
            for entry in found:
                known = categories.setdefault(entry["id"], entry)
                if known["name"] != entry["name"]:
                    raise UsageError(
                        f"{path}: the category {entry['id']} is {entry['name']!r} here and "
                        f"{known['name']!r} in another file; give --label-map"
                    )
        entries = [(_color(entry), entry["name"], id_) for id_, entry in sorted(categories.items())]
        first, _, background = files[0]
        if background is not None and background not in categories:
            entries.insert(0, (None, _BACKGROUND, background))
        return LabelMap(
            tuple(LabelClass(i, name, rgb, (raw,)) for i, (rgb, name, raw) in enumerate(entries)),
            ignore_id=255 if len(entries) <= 255 else 65534,
            source=f"the categories of {first}",
        )


def _asks_for_files(masks: str) -> bool:
    """Whether `--masks` names annotation files; one that is there must hold what COCO's do."""
    if not masks.endswith(".json"):
        return False
    try:
        return not Path(masks).is_file() or b'"images"' in Path(masks).read_bytes()
    except OSError:
        return True  # reading it says why


@dataclass(frozen=True)
class _File:
    """One annotation file.

    `kind` is one of `_KINDS`; `split` what the file's name says.
    """

    path: Path
    kind: str
    split: str | None
    images: Sequence[Record]
    categories: Sequence[Record]
    annotations: Mapping[Any, Sequence[Record]]

    @classmethod
    def load(cls, path: Path) -> "_File":
        """Reads and checks what all images share; what is wrong with one, its reject says.

        Raises:
            UsageError: It is no annotation file of a kind that draws masks.
        """
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from error
        images, categories, annotations = _lists(path, data)
        by_image: dict[Any, list[Record]] = {}
        for annotation in annotations:
            by_image.setdefault(annotation.get("image_id"), []).append(annotation)
        named, _, split = path.stem.partition("_")
        kind = named if named in _KINDS else "instances"
        if annotations:  # tools convert panoptic files to instances and keep the name
            by_segments = any("segments_info" in annotation for annotation in annotations)
            kind = "panoptic" if by_segments else kind.replace("panoptic", "instances")
        if path.name == _ROBOFLOW:
            split = path.parent.name
        elif not re.match(r"(instances|panoptic|stuff|person_keypoints)_", path.stem):
            split = ""
        split = split.removeprefix("keypoints_")
        own_split = canonical_split(split) if split else None
        return cls(path, kind, own_split, images, categories, by_image)

    @property
    def background(self) -> int | None:
        """The source value of pixels that no instance covers; None: they do not count."""
        if self.kind != "instances":
            return None
        ids = {entry["name"].lower(): entry["id"] for entry in self.categories}
        taken = 0 in ids.values()
        value: int = ids.get(_BACKGROUND, _FREE_VALUE if taken else 0)
        return value

    def sources(self, root: Path) -> Iterator[SourceFile]:
        """Images and masks, then masks whose image is not listed."""
        folder = self._folder(root)
        listed = set()
        for number, image in enumerate(self.images):
            name = image.get("file_name")
            if not isinstance(name, str) or not name:
                raise UsageError(f"{self.path}: images[{number}] has no file_name")
            key = _key(folder, name, root)
            file = list_entry(folder, name, key, RejectCode.MISSING_IMAGE, confined=True)
            yield SourceFile("image", file, key, self.split)
            yield from self._mask(image, key)
            listed.add(image.get("id"))
        for image_id in self.annotations.keys() - listed:
            yield from self._mask({"id": image_id}, f"{self.path.stem}: image_id {image_id}")

    def _folder(self, root: Path) -> Path:
        """The first of the usual folders that holds the first image."""
        split = self.path.stem.rpartition("_")[2]
        usual = [root / "images" / split, root / split, root / "images", root]
        if self.path.name == _ROBOFLOW:
            usual = [self.path.parent]
        name = next((image.get("file_name") for image in self.images), None)
        if isinstance(name, str):
            for folder in usual:
                if list_entry(folder, name, "", RejectCode.MISSING_IMAGE, True).code is None:
                    return folder
        return next((folder for folder in usual if folder.is_dir()), root)

    def _mask(self, image: Record, key: str) -> Iterator[SourceFile]:
        annotations = self.annotations.get(image.get("id"), ())
        try:
            if self.kind == "panoptic":
                for entry in annotations:
                    yield self._panoptic(entry, key)
                return
            drawing = Drawing(
                [_object(annotation) for annotation in annotations],
                _size(image),
                self.background,
                largest_first=True,
            ).to_json()
            file = Listed(str(self.path), key, len(drawing), 0)
            yield SourceFile("mask", file, key, self.split, drawing)
        except RejectError as error:
            file = Listed(str(self.path), key, 0, 0, error.code, str(error))
            yield SourceFile("mask", file, key, self.split)

    def _panoptic(self, entry: Record, key: str) -> SourceFile:
        try:
            segments = {int(s["id"]): int(s["category_id"]) for s in entry["segments_info"]}
            name = str(entry["file_name"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RejectError(
                RejectCode.UNREADABLE, f"its annotation is broken: {error!r}"
            ) from error
        folder = self.path.with_suffix("")
        file = list_entry(folder, name, key, RejectCode.MISSING_MASK, confined=True)
        return SourceFile("mask", file, key, self.split, panoptic(segments))


def _categories(path: Path) -> tuple[Sequence[Record], int | None]:
    """A file's categories and background; nothing else of it stays in memory."""
    file = _File.load(path)
    return file.categories, file.background


def _object(annotation: Record) -> tuple[int, Record]:
    label, segmentation = annotation.get("category_id"), annotation.get("segmentation")
    what = f"the annotation {annotation.get('id')} of category {label}"
    if not isinstance(label, int):
        raise RejectError(RejectCode.UNREADABLE, f"{what}: expected an integer category_id")
    if not segmentation:
        raise RejectError(RejectCode.MISSING_MASK, f"{what} has no segmentation, so no outline")
    if isinstance(segmentation, list):
        return label, {"polygons": segmentation}
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise RejectError(RejectCode.UNREADABLE, f"{what}: neither polygons nor run lengths")
    return label, {"size": segmentation["size"], "counts": segmentation["counts"]}


def _size(image: Record) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _key(folder: Path, name: str, root: Path) -> str:
    inside = folder.relative_to(root) if folder.is_relative_to(root) else Path()
    parts = inside.parts[1:] if inside.parts[:1] == ("images",) else inside.parts
    return without_extension(PurePosixPath(*parts, name.lstrip("/")).as_posix())


def _color(entry: Record) -> tuple[int, int, int] | None:
    color = entry.get("color")
    if not isinstance(color, list) or len(color) != 3:
        return None
    return color[0], color[1], color[2]


def _lists(path: Path, data: Any) -> tuple[list[Record], list[Record], list[Record]]:
    found = []
    for name in ("images", "categories", "annotations"):
        records = data.get(name) if isinstance(data, dict) else None
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise UsageError(
                f"{path}: no annotations of COCO's: it has no list {name!r} of objects"
            )
        found.append(records)
    _require_ids(path, "images", "id", found[0])
    _require_ids(path, "annotations", "image_id", found[2])
    for entry in found[1]:
        if not isinstance(entry.get("id"), int) or not isinstance(entry.get("name"), str):
            raise UsageError(f"{path}: a category needs an integer id and a name, found {entry}")
    if not found[1]:
        raise UsageError(f"{path}: it has no categories, so nothing to draw")
    return found[0], found[1], found[2]


def _require_ids(path: Path, name: str, key: str, records: Sequence[Record]) -> None:
    for number, record in enumerate(records):
        if not isinstance(record.get(key), int | float | str | None):
            raise UsageError(
                f"{path}: {name}[{number}] has the {key} {reprlib.repr(record[key])}; expected a "
                "number or text"
            )


def _own_files(root: Path) -> list[Path]:
    """Annotation files by their names: COCO's own, or Roboflow's, which lie with the images."""
    own = [
        path for kind in _KINDS for path in sorted((root / "annotations").glob(f"{kind}_*.json"))
    ]
    return [path for path in own or sorted(root.glob(f"*/{_ROBOFLOW}")) if path.is_file()]


def _files(paths: SourcePaths) -> list[Path]:
    root = Path(paths.images)
    if not root.is_dir():
        raise UsageError(f"--images {root}: no such folder")
    if paths.has_own_masks:
        pattern = Path(paths.masks or "")
        files = [pattern] if pattern.is_file() else sorted(pattern.parent.glob(pattern.name))
        if not files:
            raise UsageError(f"--masks {pattern}: no such file, and as a pattern it matches none")
        return files
    files = _own_files(root)
    if not files:
        raise UsageError(
            f"--images {root}: expected annotations/instances_*.json (or panoptic_, stuff_), or "
            f"*/{_ROBOFLOW}; found none; name other files with --masks"
        )
    kinds = sorted({path.stem.partition("_")[0] for path in files if path.name != _ROBOFLOW})
    if len(kinds) > 1:
        raise UsageError(
            f"--images {root}: annotations/ holds {' and '.join(kinds)}; choose with --masks "
            f"'{root}/annotations/{kinds[0]}_*.json'"
        )
    return files
