"""Data set layouts: which file is an image, which its mask."""

import functools
import glob
from importlib import metadata
from pathlib import Path

from segflow.data.layouts.ade20k import Ade20k
from segflow.data.layouts.base import Layout, SourceFile, SourcePaths
from segflow.data.layouts.camvid import CamVid
from segflow.data.layouts.cityscapes import Cityscapes
from segflow.data.layouts.coco import Coco
from segflow.data.layouts.cvat import Cvat
from segflow.data.layouts.labelme import LabelMe
from segflow.data.layouts.manifest import Manifest
from segflow.data.layouts.paired import Paired
from segflow.data.layouts.parquet import Parquet
from segflow.data.layouts.tar import Tar
from segflow.data.layouts.tfrecord import TfRecord
from segflow.data.layouts.voc import Voc
from segflow.errors import UsageError

ENTRY_POINTS = "segflow.layouts"
"""Group of the entry points by which other packages add layouts; each is a class or object."""

LIST_ALL = ("paired", "labelme")
"""Layouts that take every file below `--images` (and `--masks`) for theirs."""

_BUILT_IN: tuple[Layout, ...] = (
    Paired(),
    CamVid(),
    Voc(),
    Cityscapes(),
    Ade20k(),
    Coco(),
    Cvat(),
    LabelMe(),
    Manifest(),
    Tar(),
    Parquet(),
    TfRecord(),
)

__all__ = [
    "ENTRY_POINTS",
    "LIST_ALL",
    "Layout",
    "SourceFile",
    "SourcePaths",
    "find_layout",
    "layouts",
]


@functools.cache
def layouts() -> dict[str, Layout]:
    """Every layout by name: segflow's own, then those of other packages.

    Raises:
        UsageError: Another package's layout cannot be loaded or takes a name that is taken.
    """
    found = {layout.name: layout for layout in _BUILT_IN}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        try:
            loaded = entry.load()
            layout: Layout = loaded() if isinstance(loaded, type) else loaded
            name = layout.name
        except Exception as error:  # whatever the package's import runs into
            raise UsageError(
                f"layout {entry.name!r} ({entry.value}) cannot be loaded: {error!r}; mend or "
                "uninstall the package that brings it"
            ) from error
        if name in found:
            raise UsageError(f"layout {name!r} of {entry.value}: the name is taken; rename it")
        found[name] = layout
    return found


def find_layout(name: str, paths: SourcePaths) -> tuple[Layout, str]:
    """The layout of that name; for `auto` the one that recognises the data, and why.

    Raises:
        UsageError: There is no such layout or folder, or not exactly one recognises the data.
    """
    known = layouts()
    names = ", ".join(known)
    if name in known:
        return known[name], "as asked for"
    if name != "auto":
        raise UsageError(f"--layout {name}: no such layout; expected auto, {names}")
    fits = [(layout, why) for layout in known.values() if (why := layout.recognise(paths))]
    if len(fits) == 1:
        return fits[0]
    if fits:
        reasons = "; ".join(f"{layout.name} ({why})" for layout, why in fits)
        raise UsageError(f"--images {paths.images}: {reasons} all fit; choose one with --layout")
    if paths.has_own_masks:  # listing them says what is wrong
        return known["paired"], "--masks is given"
    if paths.masks is not None:  # one folder, and it is no other layout's: Paired says what to do
        return known["paired"], "--masks is given"
    if not glob.has_magic(paths.images) and not Path(paths.images).exists():
        raise UsageError(f"--images {paths.images}: no such folder")
    raise UsageError(
        f"--images {paths.images}: no layout recognised; give --masks for pairs of files, or "
        f"--layout ({names})"
    )
