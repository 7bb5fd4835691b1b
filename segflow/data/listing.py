"""Listing source files: a folder with its subfolders, or a glob."""

import fnmatch
import functools
import glob
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from segflow.data.decode import PERMANENT_ERRORS
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

_WILDCARD = re.compile(r"(\*+|\?|\[!?\]?[^\]]*\])")


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
        part: For a file inside a pack, where (see `segflow.data.packs`); `bytes` and `mtime_ns`
            are then its own size and the pack's time.
    """

    path: str
    key: str
    bytes: int
    mtime_ns: int
    code: str | None = None
    message: str | None = None
    part: str | None = None


def list_files(source: str, what: str, suffixes: frozenset[str] | None = None) -> Iterator[Listed]:
    """Lists a folder (with subfolders) or a glob (`*`, `**`, `?`, `[…]`), in no certain order.

    Hidden files are left out. Links to folders are not followed: what they point to is listed
    where it lies, or, outside the root, refused.

    Args:
        source: The folder or glob.
        what: The flag's name, for messages.
        suffixes: List files with these alone, such as `.json`; None: all but side-cars.

    Raises:
        UsageError: There is no such folder.
        OSError: The storage failed in a way that may pass.
    """
    is_glob = glob.has_magic(source) and not Path(source).exists()
    parts = _wild_parts(source) if is_glob else ()
    root = Path(*Path(source).parts[: -len(parts)]) if is_glob else Path(source)
    if not root.is_dir():
        kind = "is a file" if root.exists() else f"no such folder{f' as {root}' if is_glob else ''}"
        raise UsageError(f"{what} {source}: {kind}; expected a folder or a glob")
    pattern = re.compile(_regex(parts), re.DOTALL)
    is_meant = functools.partial(_is_meant, suffixes)
    for found in _walk(root, "", functools.partial(_may_match, parts), is_meant):
        match = pattern.fullmatch(found.relative) if is_glob else None
        if match or not is_glob or found.is_folder:
            key = _glob_key(parts, match) if match else without_extension(found.relative)
            yield _listed(root, found, key)


def list_entry(root: Path, entry: str, key: str, missing: RejectCode, confined: bool) -> Listed:
    """Lists the file that a data set's own list names.

    Args:
        root: Where relative entries start.
        entry: The name: relative to `root`, or absolute.
        key: Of the result.
        missing: The code if there is no such file.
        confined: Whether an absolute entry must lie in `root` too; a relative one always must.

    Returns:
        The file, with a reject code if it must not or cannot be read. Of a relative entry, the path
        has no `..` in it: one file has one address.

    Raises:
        OSError: The storage failed in a way that may pass.
    """
    path, is_absolute = str(root / entry), PurePath(entry).is_absolute()
    try:
        path.encode()
        if (confined or not is_absolute) and not _is_within(root, path):
            return Listed(path, key, 0, 0, RejectCode.OUTSIDE_ROOT, f"{entry!r} leaves {root}")
        if not is_absolute:
            entry = _one_spelling(root, entry)
            path = str(root / entry)
        Path(path).stat()
    except ValueError:
        path = path.encode(errors="replace").decode()
        return Listed(path, key, 0, 0, RejectCode.UNREADABLE, f"{entry!r} is no file's name")
    except OSError as error:
        if error.errno not in PERMANENT_ERRORS:
            raise
        return Listed(path, key, 0, 0, missing, f"{entry!r} is listed, but: {error.strerror}")
    return _listed(root, _Found(entry), key)


def require_outside(output: Path, **sources: str | None) -> None:
    """Refuses an output in a folder of sources, where the next run would list it.

    Args:
        output: The output folder.
        **sources: Folders and globs by their flag's name.

    Raises:
        UsageError: `output` is one of the folders, or lies in it.
    """
    for flag, source in sources.items():
        if source is None or not Path(source).is_dir():
            continue
        if output.resolve().is_relative_to(Path(source).resolve()):
            raise UsageError(
                f"--output {output}: lies in --{flag} {source}, where it would be taken for an "
                "input; choose a folder outside"
            )


@dataclass(frozen=True)
class _Found:
    """A file, or a folder that is not entered; `refusal` says why it must not be read."""

    relative: str
    is_folder: bool = False
    refusal: tuple[RejectCode, str] | None = None


def _is_meant(suffixes: frozenset[str] | None, name: str) -> bool:
    suffix = PurePath(name).suffix.lower()
    return suffix not in _SIDECARS if suffixes is None else suffix in suffixes


def _walk(
    root: Path, prefix: str, enters: Callable[[str], bool], is_meant: Callable[[str], bool]
) -> Iterator[_Found]:
    """Walks the folders for whose path, relative to `root`, `enters` holds."""
    try:
        entries = os.scandir(root / prefix)
    except OSError as error:
        if error.errno not in PERMANENT_ERRORS:
            raise
        refusal = (RejectCode.UNREADABLE, f"a folder that cannot be listed: {error.strerror}")
        yield _Found(prefix or ".", is_folder=True, refusal=refusal)
        return
    with entries:
        for entry in entries:
            relative = f"{prefix}/{entry.name}" if prefix else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112 - never raises
                if enters(relative) and not _is_within(root, entry.path):
                    yield _Found(relative, is_folder=True, refusal=_leaves(root))
            elif entry.is_dir(follow_symlinks=False):
                if enters(relative):
                    yield from _walk(root, relative, enters, is_meant)
            elif is_meant(entry.name):
                leaves = entry.is_symlink() and not _is_within(root, entry.path)
                yield _Found(relative, refusal=_leaves(root) if leaves else None)


def _is_within(root: Path, path: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _one_spelling(root: Path, entry: str) -> str:
    """A relative entry without `..`, where that names the same file: after a link it need not."""
    plain = posixpath.normpath(entry)
    if plain == entry or os.path.realpath(root / plain) != os.path.realpath(root / entry):
        return entry
    return plain


def _leaves(root: Path) -> tuple[RejectCode, str]:
    return RejectCode.OUTSIDE_ROOT, f"a link that leaves {root}"


def _listed(root: Path, found: _Found, key: str) -> Listed:
    path = str(root / found.relative)
    try:
        path.encode()
    except UnicodeEncodeError:
        path, key = (os.fsencode(text).decode(errors="replace") for text in (path, key))
        refusal = (RejectCode.UNREADABLE, "its name is no valid UTF-8; rename it")
        return Listed(path, key, 0, 0, *refusal)
    if found.refusal:
        return Listed(path, key, 0, 0, *found.refusal)
    try:
        status = Path(path).stat()
    except OSError as error:  # a dangling link, or removed while listing
        if error.errno not in PERMANENT_ERRORS:
            raise
        return Listed(path, key, 0, 0, RejectCode.UNREADABLE, error.strerror)
    if not stat.S_ISREG(status.st_mode):
        return Listed(path, key, 0, 0, RejectCode.UNREADABLE, "no regular file")
    return Listed(path, key, status.st_size, status.st_mtime_ns)


def _wild_parts(pattern: str) -> Sequence[str]:
    """The components of a glob from the first wildcard on, at least the last one."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts[:-1]) if glob.has_magic(part)), len(parts) - 1)
    return parts[fixed:]


def _may_match(parts: Sequence[str], folder: str) -> bool:
    """Whether files that match the glob `parts` may lie in the folder; without `parts`: yes."""
    ahead = parts[: parts.index("**")] if "**" in parts else parts[:-1]
    names = folder.split("/")
    if parts and "**" not in parts and len(names) > len(ahead):
        return False
    return all(
        re.fullmatch(_part_regex(part), name, re.DOTALL)
        for part, name in zip(ahead, names, strict=False)
    )


def _regex(parts: Sequence[str]) -> str:
    """A glob as a regular expression whose groups are what the wildcards match."""
    regex = ""
    for part in parts[:-1]:
        regex += "(?:(.+)/)?" if part == "**" else f"{_part_regex(part)}/"
    for part in parts[-1:]:
        regex += "(.+)" if part == "**" else _part_regex(part, is_file=True)
    return regex


def _part_regex(part: str, *, is_file: bool = False) -> str:
    """One component; wildcards of a file's extension get no group."""
    pieces = _WILDCARD.split(part)  # what is literal, a wildcard, what is literal, …
    dotted = [i for i in range(0, len(pieces), 2) if "." in pieces[i]]
    extension = dotted[-1] if is_file and dotted else len(pieces)
    regex = ""
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            regex += re.escape(piece)
        else:
            regex += f"({'' if i < extension else '?:'}{_wildcard_regex(piece)})"
    return regex


def _wildcard_regex(wildcard: str) -> str:
    if wildcard[0] == "*":
        return "[^/]*"
    if wildcard == "?":
        return "[^/]"
    # A set is spelt otherwise in regular expressions; fnmatch knows, and wraps it in (?s:…)\Z.
    return "(?!/)" + fnmatch.translate(wildcard)[4:-3]


def _glob_key(parts: Sequence[str], match: re.Match[str]) -> str:
    groups = [group or "" for group in match.groups()]
    literal = "".join(_WILDCARD.split(parts[-1])[::2])
    if parts[-1].endswith("*") and "." not in literal:
        groups[-1] = without_extension(groups[-1])  # the wildcard took it in
    return "/".join(filter(None, groups)) or PurePath(without_extension(match.string)).name


def without_extension(path: str) -> str:
    """The path without its file's last extension."""
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    return f"{folder}{slash}{stem if dot else extension}"


def storable(text: str) -> str:
    """The text, with `?` for half characters: JSON may hold them, UTF-8 has no bytes for them."""
    return text.encode(errors="replace").decode()
