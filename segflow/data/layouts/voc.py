"""Pascal VOC, and what exports as it: JPEGImages/, SegmentationClass/, ImageSets/Segmentation/."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segflow.data.layouts.base import (
    SourceFile,
    SourcePaths,
    canonical_split,
    read_lines,
    require_no_masks,
)
from segflow.data.listing import Listed, list_files
from segflow.errors import RejectCode, UsageError
from segflow.label_map import RGB, VOC_VOID, LabelClass, LabelMap

IMAGES, MASKS = "JPEGImages", "SegmentationClass"
LABEL_MAP = "labelmap.txt"
_LISTS = Path("ImageSets", "Segmentation")

# Everingham et al. 2010, in the order of the ids.
_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)


@dataclass(frozen=True)
class Voc:
    """The lists train, val and test give the splits; what no list names is left out."""

    name: str = "voc"

    def recognise(self, paths: SourcePaths) -> str | None:
        """Its two folders are there, without the file by which CVAT's export is known."""
        root = Path(paths.images)
        folders = (root / IMAGES).is_dir() and (root / MASKS).is_dir()
        if paths.has_own_masks or not folders or (root / LABEL_MAP).is_file():
            return None
        return f"it holds {IMAGES}/ and {MASKS}/"

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """What the lists name, or, without lists, all images and masks; the key is the name."""
        return voc_sources(require_no_masks(self.name, paths))

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """labelmap.txt in the root; else VOC's 21 classes, with 255 as void."""
        path = Path(paths.images) / LABEL_MAP
        if path.is_file():
            return LabelMap.load(path)
        classes = tuple(LabelClass(i, name, _color(i)) for i, name in enumerate(_CLASSES))
        return LabelMap(classes, source="VOC's own label map", ignore_colors=(VOC_VOID,))


def voc_sources(root: Path) -> Iterator[SourceFile]:
    """Images and masks of a root.

    An image that two lists name is given twice, and so refused as duplicate.

    Raises:
        UsageError: A folder is missing.
    """
    for folder in (IMAGES, MASKS):
        if not (root / folder).is_dir():
            raise UsageError(f"--images {root}: expected the folder {folder}/; found none")
    lists = _lists(root)
    found = set()
    for file in list_files(str(root / IMAGES), "--images"):
        for split in _splits(lists, file.key):
            found.add(file.key)
            yield SourceFile("image", file, file.key, split)
    for file in list_files(str(root / MASKS), "--images"):
        for split in _splits(lists, file.key)[:1]:
            yield SourceFile("mask", file, file.key, split)
    for key, splits in (lists or {}).items():
        if key not in found:
            message = f"the list {splits[0] or 'default'} names it, but {IMAGES}/ has no such image"
            path = str(root / IMAGES / key)
            file = Listed(path, key, 0, 0, RejectCode.MISSING_IMAGE, message)
            yield SourceFile("image", file, key, splits[0])


def _splits(lists: Mapping[str, Sequence[str | None]] | None, key: str) -> Sequence[str | None]:
    return (None,) if lists is None else lists.get(key, ())


def _lists(root: Path) -> dict[str, list[str | None]] | None:
    """The splits that name each image; None if there are no lists."""
    paths = {path.stem: path for path in sorted((root / _LISTS).glob("*.txt"))}
    if "train" in paths or "val" in paths:
        paths.pop("trainval", None)
    named: dict[str, list[str | None]] = {}
    for name, path in paths.items():
        for line in read_lines(path):
            named.setdefault(line.strip('"'), []).append(canonical_split(name))
    return named if paths else None


def _color(index: int) -> RGB:
    """VOC's colour of a class: three bits of the index at a time go to R, G and B, high first."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]
