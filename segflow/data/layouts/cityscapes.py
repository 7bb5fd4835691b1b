"""Cityscapes: leftImg8bit/SPLIT/CITY/ and gtFine/SPLIT/CITY/ (Cordts et al. 2016)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segflow.data.layouts.base import (
    SourceFile,
    SourcePaths,
    canonical_split,
    require_no_masks,
)
from segflow.data.listing import list_files
from segflow.errors import UsageError
from segflow.label_map import RGB, LabelClass, LabelMap

IMAGES, MASKS = "leftImg8bit", "gtFine"
_IMAGE = f"_{IMAGES}"
_TRAIN_IDS = f"_{MASKS}_labelTrainIds"
_LABEL_IDS = f"_{MASKS}_labelIds"

# Name, label id and colour of the 19 classes that are scored, in the order of their train ids.
_CLASSES: tuple[tuple[str, int, RGB], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
_LABEL_ID_COUNT = 34


@dataclass(frozen=True)
class Cityscapes:
    """Masks are the labelTrainIds if the data set has any, else the labelIds."""

    name: str = "cityscapes"

    def recognise(self, paths: SourcePaths) -> str | None:
        """Its two folders are there."""
        root = Path(paths.images)
        if paths.has_own_masks or not ((root / IMAGES).is_dir() and (root / MASKS).is_dir()):
            return None
        return f"it holds {IMAGES}/ and {MASKS}/"

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Images and masks; the key is `split/city/city_sequence_frame`."""
        root = require_no_masks(self.name, paths)
        for folder in (IMAGES, MASKS):
            if not (root / folder).is_dir():
                raise UsageError(f"--images {root}: expected the folder {folder}/; found none")
        for file in list_files(str(root / IMAGES), "--images"):
            key = file.key.removesuffix(_IMAGE)
            yield SourceFile("image", file, key, _split(key))
        kind = _TRAIN_IDS if _has_train_ids(root) else _LABEL_IDS
        for file in list_files(str(root / MASKS), "--images"):
            if file.key.endswith(kind):
                key = file.key.removesuffix(kind)
                yield SourceFile("mask", file, key, _split(key))

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """The 19 classes; with labelIds, the other labels are ignored."""
        by_train_id = _has_train_ids(Path(paths.images))
        classes = tuple(
            LabelClass(i, name, color, () if by_train_id else (label_id,))
            for i, (name, label_id, color) in enumerate(_CLASSES)
        )
        scored = {label_id for _, label_id, _ in _CLASSES}
        others = tuple(i for i in range(_LABEL_ID_COUNT) if i not in scored)
        return LabelMap(
            classes,
            source="Cityscapes' own label map",
            ignore_raw_ids=() if by_train_id else others,
        )


def _has_train_ids(root: Path) -> bool:
    masks = root / MASKS
    return masks.is_dir() and any(
        file.key.endswith(_TRAIN_IDS) for file in list_files(str(masks), "--images")
    )


def _split(key: str) -> str | None:
    folder, slash, _ = key.partition("/")
    return canonical_split(folder) if slash else None
