"""Data set layouts: which file is an image, which its mask."""

import glob
from pathlib import Path

from segflow.data.layouts.base import Layout, SourceFile
from segflow.data.layouts.camvid import CamVid
from segflow.data.layouts.paired import Paired
from segflow.errors import UsageError

LAYOUTS: tuple[Layout, ...] = (Paired(), CamVid())

__all__ = ["LAYOUTS", "Layout", "SourceFile", "find_layout"]


def find_layout(name: str, images: str, masks: str | None) -> tuple[Layout, str]:
    """The layout of that name; for `auto` the one that recognises the folders, and why.

    Raises:
        UsageError: `auto` recognises none, or there is no such folder.
    """
    for layout in LAYOUTS:
        if layout.name == name:
            return layout, "as asked for"
    for layout in LAYOUTS:
        if why := layout.recognise(images, masks):
            return layout, why
    if not glob.has_magic(images) and not Path(images).exists():
        raise UsageError(f"--images {images}: no such folder")
    raise UsageError(
        f"--images {images}: no layout recognised; give --masks for pairs of files, or --layout "
        f"({', '.join(layout.name for layout in LAYOUTS)})"
    )
