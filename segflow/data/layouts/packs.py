"""What the layouts of packs share: many images and masks in few files."""

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from segflow.data.layouts.base import SourceFile, SourcePaths, canonical_split
from segflow.data.listing import Listed, list_entry, list_files, without_extension
from segflow.errors import RejectCode, UsageError

# `train-00000-of-00002`, `val_003`, `test`: what a pack's name says of its split.
_SPLIT = re.compile(r"(train|training|val|valid|validation|test|testing)([-_.\d].*)?")


def why_packs(paths: SourcePaths, suffixes: frozenset[str]) -> str | None:
    """Why `--images` looks like packs with these suffixes, in words; None if it doesn't."""
    source = Path(paths.images)
    if paths.has_own_masks or not (example := first_pack(paths, suffixes)):
        return None
    if source.is_dir():
        return f"its folder holds {example.name}"
    kind = example.suffix.removeprefix(".")
    return f"--images is a {kind} file" if source.is_file() else f"--images names {kind} files"


def first_pack(paths: SourcePaths, suffixes: frozenset[str]) -> Path | None:
    """A pack that `--images` names or whose folder it is; None without one."""
    source = Path(paths.images)
    if source.is_dir():
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in suffixes)
        return found[0] if found else None
    if source.suffix.lower() not in suffixes:
        return None
    if source.is_file():
        return source
    return next(map(Path, sorted(glob.glob(paths.images, recursive=True))), None)  # noqa: PTH207


def list_packs(layout: str, paths: SourcePaths, suffixes: frozenset[str]) -> Iterator[Listed]:
    """The packs of a folder (with subfolders), of a glob, or the one that `--images` is.

    Raises:
        UsageError: `--masks` names another place, or there are none.
    """
    if paths.has_own_masks:
        raise UsageError(
            f"layout {layout}: masks lie in the packs beside their images; found --masks "
            f"{paths.masks}; leave it out"
        )
    source = Path(paths.images)
    if source.is_file():
        yield list_entry(
            source.parent, source.name, source.stem, RejectCode.MISSING_IMAGE, confined=False
        )
        return
    packs = sorted(list_files(paths.images, "--images", suffixes), key=lambda pack: pack.path)
    if not packs:
        kinds = " or ".join(sorted(suffixes))
        raise UsageError(f"--images {paths.images}: no files that end in {kinds}; expected some")
    yield from packs


def broken(pack: Listed, why: str) -> SourceFile:
    """The reject of a pack, or of the rest of it, that cannot be listed."""
    file = Listed(pack.path, pack.key, pack.bytes, pack.mtime_ns, RejectCode.UNREADABLE, why)
    return SourceFile("image", file, f"{pack.key}/")


def split_of(pack: Listed) -> str | None:
    """The split that a pack's name says: `val` for `validation-00000-of-00001.parquet`."""
    name = without_extension(Path(pack.path).name)
    match = _SPLIT.fullmatch(name.lower())
    return canonical_split(match[1]) if match else None
