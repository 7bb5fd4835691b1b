"""ADE20K: the full releases of 2017 and 2020 (*_seg.png), or its SceneParsing form (150 classes).

Zhou et al. 2017. In the full releases, a class's value is R // 10 * 256 + G of *_seg.png, and 0 is
unlabelled; in SceneParsing, masks hold 1 to 150, and 0 is everything else.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segflow.data.annotations import ADE20K
from segflow.data.layouts.base import (
    SourceFile,
    SourcePaths,
    canonical_split,
    require_no_masks,
)
from segflow.data.listing import list_files
from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap

_SEGMENTS = "_seg"
_BESIDE = re.compile(r"_seg$|_parts_\d+$")
_SPLITS = ("training", "validation")
_PHOTOS = (".jpg", ".jpeg")
_JSON = frozenset((".json",))

# The first synonym of each class, in the order of SceneParsing's ids, which run from 1.
_CLASSES = (
    *("wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane"),
    *("grass", "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant"),
    *("curtain", "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror"),
    *("rug", "field", "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub"),
    *("railing", "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter"),
    *("sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs"),
    *("runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge"),
    *("bookcase", "blind", "coffee table", "toilet", "flower", "book", "hill", "bench"),
    *("countertop", "stove", "palm", "kitchen island", "computer", "swivel chair", "boat", "bar"),
    *("arcade machine", "hovel", "bus", "towel", "light", "truck", "tower", "chandelier"),
    *("awning", "streetlight", "booth", "television receiver", "airplane", "dirt track"),
    *("apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet"),
    *("poster", "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer"),
    *("plaything", "swimming pool", "stool", "barrel", "basket", "waterfall", "tent", "bag"),
    *("minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name", "microwave"),
    *("pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture"),
    *("hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen"),
    *("plate", "monitor", "bulletin board", "shower", "radiator", "glass", "clock", "flag"),
)


@dataclass(frozen=True)
class Ade20k:
    """The folders training and validation are the splits."""

    name: str = "ade20k"

    def recognise(self, paths: SourcePaths) -> str | None:
        """SceneParsing's folders, or files *_seg.png below training/ or validation/."""
        root = Path(paths.images)
        if paths.has_own_masks or not root.is_dir():
            return None
        if _is_scene_parsing(root):
            return "it holds images/training/ and annotations/training/"
        for folder in _split_folders(root):
            for file in list_files(str(folder), "--images"):
                if file.key.endswith(_SEGMENTS):
                    return f"{folder.relative_to(root)}/ holds files *{_SEGMENTS}.png"
        return None

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Photos and masks; the key is the path from the folder training or validation on."""
        root = require_no_masks(self.name, paths)
        if _is_scene_parsing(root):
            for file in list_files(str(root / "images"), "--images"):
                yield SourceFile("image", file, file.key, _split(file.key))
            for file in list_files(str(root / "annotations"), "--images"):
                yield SourceFile("mask", file, file.key, _split(file.key))
            return
        folders = _split_folders(root)
        if not folders:
            raise UsageError(
                f"--images {root}: expected training/ or validation/ with files *{_SEGMENTS}.png, "
                "or images/training/ and annotations/training/; found none"
            )
        for folder in folders:
            for file in list_files(str(folder), "--images"):
                key = f"{folder.name}/{_BESIDE.sub('', file.key)}"
                if file.path.lower().endswith(_PHOTOS):
                    yield SourceFile("image", file, key, _split(key))
                elif file.key.endswith(_SEGMENTS):
                    yield SourceFile("mask", file, key, _split(key), ADE20K)

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """SceneParsing's 150 classes, or all that the JSON files of 2020 name; 2017 has none."""
        root = Path(paths.images)
        names = dict(enumerate(_CLASSES, 1)) if _is_scene_parsing(root) else _names_in_json(root)
        if not names:
            return None
        counts: dict[str, int] = {}
        for name in names.values():
            counts[name] = counts.get(name, 0) + 1
        classes = tuple(
            LabelClass(i, name if counts[name] == 1 else f"{name} ({value})", raw_ids=(value,))
            for i, (value, name) in enumerate(sorted(names.items()))
        )
        ignore_id = 255 if len(classes) <= 255 else 65535
        return LabelMap(classes, ignore_id, "ADE20K's own label map", ignore_raw_ids=(0,))


def _is_scene_parsing(root: Path) -> bool:
    return any(
        (root / "images" / split).is_dir() and (root / "annotations" / split).is_dir()
        for split in _SPLITS
    )


def _split_folders(root: Path) -> list[Path]:
    """The folders of the splits: in the root, or where the two releases unpack to."""
    for inside in ("", "images", "ADE", "images/ADE"):
        folders = [root / inside / split for split in _SPLITS if (root / inside / split).is_dir()]
        if folders:
            return folders
    return []


def _split(key: str) -> str | None:
    folder, slash, _ = key.partition("/")
    return canonical_split(folder) if slash else None


def _names_in_json(root: Path) -> dict[int, str]:
    """Class names by value, as the JSON files of the release of 2020 give them."""
    names: dict[int, str] = {}
    for folder in _split_folders(root):
        for file in list_files(str(folder), "--images", _JSON):
            for entry in _objects(Path(file.path)) if file.code is None else ():
                value, name = entry.get("name_ndx"), entry.get("name")
                if isinstance(value, int) and 0 < value <= 65535 and isinstance(name, str):
                    names.setdefault(value, name)
    return names


def _objects(path: Path) -> list[dict[str, Any]]:
    """The whole objects of an image, without parts; a broken file has none to tell."""
    try:
        entries = json.loads(path.read_bytes())["annotation"]["object"]
        return [entry for entry in entries if not entry["parts"]["part_level"]]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return []
