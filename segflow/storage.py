"""Writing files so that they are complete or absent, and listing them.

Every atomic step rests on one of two calls of the file system: `rename`, which replaces, and
`link`, which fails if the name is taken. Both are atomic on one POSIX file system.
"""

import contextlib
import errno
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from segflow.errors import SegflowError, UsageError

_SCRAP = re.compile(r"\..+\.[0-9a-f]{32}(?P<grows>\.part)?")  # see `_hidden`, `written_whole`
_DEAD_S = 3600.0  # what grows has not grown for so long once its writer is dead


def put(path: str | Path, data: bytes) -> None:
    """Writes `data` to `path`, replacing what is there; a reader sees the old or the new."""
    with _complete_copy(Path(path), data) as temporary:
        try:
            temporary.replace(path)
        except FileNotFoundError:  # `remove_scraps` took the copy for one that a kill left
            put(path, data)


def put_if_absent(path: str | Path, data: bytes) -> bool:
    """Writes `data` to `path` unless the name is taken; of several callers one wins.

    Returns:
        Whether this call wrote the file.
    """
    with _complete_copy(Path(path), data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except FileNotFoundError:  # as above
            return put_if_absent(path, data)
    return True


def remove_scraps(folder: str | Path) -> None:
    """Removes the hidden copies that killed writers have left in `folder` and below.

    A living writer whose copy is hit writes it again. The body of `written_whole` cannot be run
    again, so its file goes only when nobody has written to it for an hour.
    """
    for folder_path, _, names in os.walk(folder):
        for scrap in filter(None, map(_SCRAP.fullmatch, names)):
            path = Path(folder_path, scrap.string)
            with contextlib.suppress(FileNotFoundError):
                if not scrap["grows"] or time.time() - path.stat().st_mtime > _DEAD_S:
                    path.unlink()


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A hidden file beside `path` for the body to write; it takes that name once it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path, ".part")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def publish(source: str | Path, destination: str | Path) -> None:
    """Moves a complete file to its name; repeating it after success does nothing.

    Raises:
        FileNotFoundError: Neither `source` nor `destination` exists.
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        Path(source).replace(destination)
    except FileNotFoundError:
        if not destination.exists():
            raise


def sync(path: str | Path) -> None:
    """Makes a written file survive a power cut."""
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())


def read_json(path: str | Path) -> Any:
    """Parses a JSON file."""
    return json.loads(Path(path).read_bytes())


def to_json(value: Any) -> bytes:
    """JSON as segflow writes it for people: indented, keys in the order given, UTF-8.

    NaN has no place in JSON: an undefined number must be None.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def absolute(path: str | Path) -> str:
    """A path's one spelling, from anywhere: absolute, without `..`; links keep their name."""
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links


def require_inside(folder: str | Path, files: Iterable[Mapping[str, Any]]) -> None:
    """Refuses paths in a folder's record that lead out of the folder.

    Args:
        folder: The folder, for the message.
        files: What the record lists, each with its `path`.

    Raises:
        UsageError: One does.
    """
    for path in (str(file["path"]) for file in files):
        if PurePath(path).is_absolute() or ".." in PurePath(path).parts:
            raise UsageError(
                f"{folder}: its record lists {path!r}, which lies outside the folder; restore the "
                "record or make it anew"
            )


def names_in(folder: str | Path) -> list[str]:
    """Names in a folder in order, without hidden ones; a missing folder is empty."""
    try:
        return sorted(p.name for p in Path(folder).iterdir() if not p.name.startswith("."))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def full_disk_named(path: str | Path) -> Iterator[None]:
    """Has an error that a disk is full say which one: the system's own does not.

    Args:
        path: Where the body writes.

    Raises:
        OSError: The disk of `path` is full, or over the user's quota.
    """
    try:
        yield
    except SegflowError:
        raise
    except Exception as error:
        number = _full_disk_number(error)
        if number is None:
            raise
        reason = "no space left" if number == errno.ENOSPC else "quota exceeded"
        message = f"{reason} on the disk that is mounted at {mount_point(path)}: free some"
        raise OSError(number, message) from error


def _full_disk_number(error: Exception) -> int | None:
    """The system's number of such an error; DuckDB and TensorFlow only quote its words."""
    for number in (errno.ENOSPC, errno.EDQUOT):
        if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
            return number
    return None


def mount_point(path: str | Path) -> Path:
    """Where the disk that `path` lies on is mounted; the path itself need not exist."""
    path = Path(path).absolute()
    return next(p for p in (path, *path.parents) if p.is_mount())


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary local folder, removed with all it holds."""
    with tempfile.TemporaryDirectory(prefix="segflow-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _complete_copy(path: Path, data: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _hidden(path: Path, ending: str = "") -> Path:
    """A name of its own beside `path`, which `remove_scraps` knows."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{ending}")
