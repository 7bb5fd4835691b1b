"""Listing source files: a folder with its subfolders, or a glob."""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segflow.errors import RejectCode, UsageError

# Files that lie beside images without being meant as one; anything else is listed, and
# rejected with a reason if it is no image.
_SIDECARS = frozenset(
    f".{name}"
    for name in (
        *("txt", "md", "rst", "html", "pdf", "json", "jsonl", "xml", "csv", "tsv", "yml", "yaml"),
        *("db", "ini", "log", "parquet", "npy", "npz", "zip", "tar", "gz", "tgz", "h5", "pth"),
        *("py", "ipynb", "sh", "url"),
    )
)


@dataclass(frozen=True)
class Listed:
    """A listed file.

    Attributes:
        path: As given by the user, joined with the name found; never percent-encoded.
        key: Relative to the root and without extension; for a glob what its wildcards matched.
        bytes: Size.
        mtime_ns: Time of modification, nanoseconds since 1970.
        code: A reject code, where listing alone shows that the file must not be read.
        message: Why.
    """

    path: str
    key: str
    bytes: int
    mtime_ns: int
    code: str | None = None
    message: str | None = None


def list_files(source: str, what: str) -> Iterator[Listed]:
    """Lists a folder (with subfolders) or a glob (`*`, `**`, `?`, `[…]`), hidden files left out.

    Args:
        source: The folder or glob.
        what: The flag's name, for messages.

    Raises:
        UsageError: There is no such folder.
    """
    if glob.has_magic(source) and not Path(source).exists():
        yield from _list_glob(source, what)
        return
    root = Path(source)
    if not root.is_dir():
        kind = "is a file, expected a folder or a glob" if root.exists() else "no such folder"
        raise UsageError(f"{what} {source}: {kind}")
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if _is_candidate(path):
                yield _listed(path, path.relative_to(root).with_suffix("").as_posix(), root)


def _list_glob(pattern: str, what: str) -> Iterator[Listed]:
    root = _fixed_part(pattern)
    if not root.is_dir():
        raise UsageError(f"{what} {pattern}: no such folder as {root}")
    matcher = re.compile(_glob_regex(PurePosixPath(pattern).as_posix()))
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 - keeps the spelling
        path = Path(name)
        match = matcher.fullmatch(path.as_posix())
        if match and path.is_file() and _is_candidate(path):
            yield _listed(path, _glob_key(pattern, match), root)


def _is_candidate(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() not in _SIDECARS


def _listed(path: Path, key: str, root: Path) -> Listed:
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        return Listed(str(path), key, 0, 0, RejectCode.OUTSIDE_ROOT, f"a link that leaves {root}")
    try:
        stat = path.stat()
    except OSError as error:  # a dangling link, or removed while listing
        return Listed(str(path), key, 0, 0, RejectCode.UNREADABLE, str(error.strerror))
    return Listed(str(path), key, stat.st_size, stat.st_mtime_ns)


def _fixed_part(pattern: str) -> Path:
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _glob_key(pattern: str, match: re.Match[str]) -> str:
    groups = [group for group in match.groups() if group]
    if pattern.endswith(".*") and len(groups) > 1:
        groups.pop()  # that wildcard stands for the extension
    key = "/".join(groups) or Path(match.string).stem
    return str(PurePosixPath(key).with_suffix("")) if pattern.endswith("*") else key


def _glob_regex(pattern: str) -> str:
    """The glob as a regular expression whose groups are what the wildcards match."""
    regex, position = "", 0
    token = re.compile(r"(\*\*/)|(\*+)|(\?)|(\[!?\]?[^\]]*\])")
    for match in token.finditer(pattern):
        regex += re.escape(pattern[position : match.start()])
        folders, star, _, _ = match.groups()
        if folders:
            regex += r"(?:(.*)/)?"
        elif star:
            regex += r"([^/]*)"
        elif match[0] == "?":
            regex += r"([^/])"
        else:
            regex += "(" + match[0].replace("[!", "[^") + ")"
        position = match.end()
    return regex + re.escape(pattern[position:])
