"""LabelMe: a JSON file of shapes beside each image."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segflow.data.annotations import LABELME
from segflow.data.annotations import labelme as annotation
from segflow.data.config import DecodeLimits
from segflow.data.decode import read_bytes
from segflow.data.layouts.base import SourceFile, SourcePaths, require_no_masks
from segflow.data.listing import Listed, list_files
from segflow.errors import RejectError
from segflow.label_map import LabelClass, LabelMap

_JSON = frozenset((".json",))


@dataclass(frozen=True)
class LabelMe:
    """Image and JSON share a stem; of several images with one stem, `imagePath` names which."""

    name: str = "labelme"

    def recognise(self, paths: SourcePaths) -> str | None:
        """The first JSON file that is found has LabelMe's list of shapes."""
        if paths.has_own_masks or not Path(paths.images).is_dir():
            return None
        for file in list_files(paths.images, "--images", _JSON):
            content = _content(file)
            return f"{Path(file.path).name} holds a list of shapes" if content else None
        return None

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Images, then their JSON files; the key is the path without extension."""
        root = require_no_masks(self.name, paths)
        meant = _meant(root)
        for file in list_files(str(root), "--images"):
            if meant.get(file.key, file.path) == file.path:
                yield SourceFile("image", file, file.key)
        for file in list_files(str(root), "--images", _JSON):
            yield SourceFile("mask", file, file.key, annotation=LABELME)

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """Background, then every label in alphabetical order; `__ignore__` does not count."""
        names: set[str] = set()
        for file in list_files(paths.images, "--images", _JSON):
            if data := _content(file):
                names.update(annotation.labels(data))
        classes = [
            annotation.BACKGROUND,
            *sorted(names - {annotation.BACKGROUND, annotation.IGNORE}),
        ]
        return LabelMap(
            tuple(LabelClass(i, name) for i, name in enumerate(classes)),
            source="the labels of LabelMe's files",
            ignore_names=(annotation.IGNORE,),
        )


def _meant(root: Path) -> dict[str, str]:
    """Which of several images with one stem a JSON file is about, by key."""
    counts = Counter(file.key for file in list_files(str(root), "--images"))
    meant = {}
    for file in list_files(str(root), "--images", _JSON):
        if counts[file.key] > 1 and (data := _content(file)):
            name = str(annotation.read(data).get("imagePath", "")).replace("\\", "/")
            # The name alone: what it says of folders was true where the file was made.
            path = Path(file.path).with_name(PurePosixPath(name).name or file.key)
            if path.is_file():
                meant[file.key] = str(path)
    return meant


def _content(file: Listed) -> bytes | None:
    """A sound JSON file of LabelMe's; what is wrong with another, its reject says."""
    if file.code is not None:
        return None
    try:
        data = read_bytes(file.path, DecodeLimits())
        annotation.read(data)
    except RejectError:
        return None
    return data
