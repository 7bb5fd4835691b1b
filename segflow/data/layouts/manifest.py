"""Manifests: a list of pairs as CSV, JSONL or Parquet."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segflow.data.layouts.base import SourceFile, SourcePaths
from segflow.data.layouts.parquet import holds_bytes
from segflow.data.listing import list_entry
from segflow.data.lists import Columns, Entry, key_of, list_kind, read_list
from segflow.errors import RejectCode, UsageError
from segflow.label_map import LabelMap

_PAIRS = Columns(("image", "mask"), ("key", "split", "group"))
_IMAGES = Columns(("image",), ("key", "group"))


@dataclass(frozen=True)
class Manifest:
    """Columns image and mask, optional key, split, group, ground_resolution; others are left."""

    name: str = "manifest"

    def recognise(self, paths: SourcePaths) -> str | None:
        """--images is a file of one of the three kinds."""
        path = Path(paths.images)
        kind = list_kind(path)
        if paths.has_own_masks or kind is None or not path.is_file():
            return None
        if kind == "PARQUET" and holds_bytes(path):
            return None  # a pack
        return f"--images is a {kind} file"

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """The two files of each row; the key is the image's path without extension.

        Raises:
            UsageError: The list is missing, broken, or lacks a column.
        """
        path = Path(paths.images)
        if list_kind(path) is None or paths.has_own_masks:
            raise UsageError(
                f"layout manifest: expected --images LIST.csv, .jsonl or .parquet without --masks, "
                f"found {path}{f' and {paths.masks}' if paths.has_own_masks else ''}"
            )
        rows = _Rows.of(paths)
        for entry in read_list(path, "manifest", _PAIRS):
            yield from rows.pair(entry)

    def images(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """The image of each row; masks are left alone.

        Raises:
            UsageError: The list is missing, broken, or lacks the column image.
        """
        rows = _Rows.of(paths)
        for entry in read_list(Path(paths.images), "list", _IMAGES):
            yield from rows.pair(entry)

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """None: a list says nothing of classes."""
        return None


@dataclass(frozen=True)
class _Rows:
    """Where a list's relative entries start, and whether absolute ones must lie there, too."""

    root: Path
    confined: bool

    @classmethod
    def of(cls, paths: SourcePaths) -> "_Rows":
        root = Path(paths.root or Path(paths.images).parent)
        if not root.is_dir():
            raise UsageError(f"--root {root}: no such folder")
        return cls(root, paths.root is not None)

    def pair(self, entry: Entry) -> Iterator[SourceFile]:
        """The files that a row names."""
        image, mask, split, group = entry.image, entry.mask, entry.split, entry.group
        key = entry.key or (key_of(image, self.root) if image else f"row {entry.number}")
        if image:
            file = list_entry(self.root, image, key, RejectCode.MISSING_IMAGE, self.confined)
            side = entry.ground_resolution
            yield SourceFile("image", file, key, split, group=group, ground_resolution=side)
        if mask:
            file = list_entry(self.root, mask, key, RejectCode.MISSING_MASK, self.confined)
            yield SourceFile("mask", file, key, split, group=group)
