"""Names of exported files: safe on any file system, whatever the images are called."""

import glob
import itertools
import posixpath
import re
import unicodedata
from pathlib import PurePosixPath

from segflow.data.listing import without_extension

MARK = "~"
"""Never part of a safe name: what tells equal names apart stands behind it."""

_PLAIN = frozenset("-_.+=()@")
_LONGEST = 180  # bytes of a part, of the 255 that file systems take: the rest is for endings
_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "png", "tif", "tiff", "bmp", "gif", "webp", "ppm", "pgm", "pbm", "pnm"),
        *("tga", "jp2", "j2k", "avif"),
    )
)


def safe_name(uri: str, source: str) -> str:
    """A relative path for an image's files, without extension.

    It has no `.`, `..`, root, hidden or empty part; folders have no dot, so that none is called
    like a file. Letters, digits and `-_.+=()@` stay, anything else becomes `_`.

    Args:
        uri: The image's address.
        source: Folder, glob or list that it was listed from: what its path is relative to.
    """
    parts = [part for part in _below(uri, source).split("/") if part not in ("", ".", "..")]
    *folders, name = parts or ["_"]
    return "/".join([*(_safe(part).replace(".", "_") for part in folders), _safe(_stem(name))])


def same_name(name: str) -> str:
    """Equal for names that a file system may take for one: by case, or by how accents are coded."""
    return unicodedata.normalize("NFC", name.casefold())


def suffix(uri: str) -> str:
    """The extension of an image's file, such as `.jpg`; `.img` where it is no image format's.

    Never empty: `a.jpg.x`, without its extension, must not be called like `a.jpg`.
    """
    found = PurePosixPath(uri).suffix.lower()
    return found if found in _SUFFIXES else ".img"


def _below(uri: str, source: str) -> str:
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), source.split("/"))
    for root in (source, "/".join(fixed), posixpath.dirname(source)):
        if root and uri.startswith(f"{root}/"):
            return uri[len(root) + 1 :]
    return uri


def _stem(name: str) -> str:
    return without_extension(name) or name


def _safe(part: str) -> str:
    part = unicodedata.normalize("NFC", part)
    part = "".join(c if c in _PLAIN or unicodedata.category(c)[0] in "LNM" else "_" for c in part)
    part = re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), part)
    return part.encode()[:_LONGEST].decode(errors="ignore") or "_"
