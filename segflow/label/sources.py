"""Where the images to label come from: a folder, a glob, a list, or packs."""

import functools
import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from segflow.data.layouts import SourceFile, SourcePaths
from segflow.data.layouts.manifest import Manifest
from segflow.data.layouts.parquet import Parquet, holds_bytes
from segflow.data.layouts.tar import Tar
from segflow.data.layouts.tfrecord import TfRecord
from segflow.data.listing import list_files
from segflow.data.lists import LIST_SUFFIXES
from segflow.errors import UsageError

_FLAG = "--images"
_LIST = Manifest()
_Pack = Tar | Parquet | TfRecord
_PACKS = (Tar(), Parquet(), TfRecord())
_PACK_SUFFIXES = frozenset[str]().union(*(pack.suffixes for pack in _PACKS))


@dataclass(frozen=True)
class ImageSource:
    """A source that was recognised.

    Attributes:
        kind: `folder`, `glob`, `list`, `tar`, `parquet` or `tfrecord`.
        why: What it was recognised by.
        images: Lists its images, one after another. Raises `UsageError` where a list is broken
            or a pack is not fit to be read, and `OSError` where the storage failed in a way that
            may pass.
    """

    kind: str
    why: str
    images: Callable[[], Iterator[SourceFile]]


def find_source(images: str, root: str | None = None) -> ImageSource:
    """Recognises what `--images` is, by its name and by what a folder holds.

    Args:
        images: `--images`.
        root: `--root`, for a list.

    Raises:
        UsageError: It is nothing that images are listed from, or `root` is given for no list.
    """
    paths = SourcePaths(images, root=root).absolute()
    path = Path(paths.images)
    if path.is_file():
        found = _of_file(paths)
    elif path.is_dir() or not glob.has_magic(paths.images):
        found = _of_folder(paths)
    else:
        found = _of_glob(paths)
    if root is not None and found.kind != "list":
        raise UsageError(
            f"--root {root}: is for the entries of a list, but {_FLAG} {images} is no list "
            f"({found.kind}: {found.why}); leave it out"
        )
    return found


def _of_file(paths: SourcePaths) -> ImageSource:
    if why := _LIST.recognise(paths):
        return ImageSource("list", why, functools.partial(_LIST.images, paths))
    for pack in _PACKS:
        if why := pack.recognise(paths):
            return _packs(pack, why, paths)
    raise UsageError(
        f"{_FLAG} {paths.images}: is a file; expected a folder, a glob, a list "
        f"({', '.join(LIST_SUFFIXES)}) or a pack ({', '.join(sorted(_PACK_SUFFIXES))})"
    )


def _of_folder(paths: SourcePaths) -> ImageSource:
    """A folder is one of packs if it holds nothing else: beside images, packs are left alone."""
    files = list_files(paths.images, _FLAG)
    if all(PurePath(file.path).suffix.lower() in _PACK_SUFFIXES for file in files):
        there = {pack: first for pack in _PACKS if (first := _first(pack, paths.images))}
        if len(there) > 1:
            names = ", ".join(first.name for first in there.values())
            raise UsageError(
                f"{_FLAG} {paths.images}: packs of several kinds lie in it ({names}); choose one "
                f"with a glob such as '{paths.images}/**/*{next(iter(there.values())).suffix}'"
            )
        for pack, first in there.items():
            return _packs(pack, f"its folder holds {first.name}", paths)
    return ImageSource("folder", f"{_FLAG} is a folder of files", _files(paths))


def _first(pack: _Pack, folder: str) -> Path | None:
    """One of a folder's packs of a kind; a Parquet file may be something else."""
    for file in list_files(folder, _FLAG, pack.suffixes):
        if pack.name != "parquet" or holds_bytes(Path(file.path)):
            return Path(file.path)
    return None


def _of_glob(paths: SourcePaths) -> ImageSource:
    suffix = PurePath(paths.images).suffix.lower()
    for pack in _PACKS:
        if suffix in pack.suffixes:
            return _packs(pack, f"{_FLAG} names {suffix.removeprefix('.')} files", paths)
    return ImageSource("glob", f"{_FLAG} has wildcards", _files(paths))


def _packs(pack: _Pack, why: str, paths: SourcePaths) -> ImageSource:
    return ImageSource(pack.name, why, functools.partial(pack.images, paths))


def _files(paths: SourcePaths) -> Callable[[], Iterator[SourceFile]]:
    return lambda: (SourceFile("image", file, file.key) for file in list_files(paths.images, _FLAG))
