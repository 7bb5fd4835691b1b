"""A lock on an output folder. It spares work; correctness rests on the put-if-absent."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from segflow import storage
from segflow.errors import UsageError

_HEARTBEAT_S = 30.0
_EXPIRES_S = 600.0  # another host's lock without a heartbeat for so long is dead


@contextlib.contextmanager
def lock(output: str | Path, inside: str) -> Iterator[None]:
    """Holds `output` for this process, by a file in its folder `inside`.

    A dead process's lock on this host is taken over at once; another host's once its
    heartbeat is ten minutes old. Folders that are empty at the end are removed.

    Raises:
        UsageError: A living run holds it.
    """
    path = Path(output) / inside / "lock.json"
    process = psutil.Process()
    mine = {"host": socket.gethostname(), "pid": process.pid, "began": process.create_time()}
    while not storage.put_if_absent(path, storage.to_json(mine)):
        holder = _read(path)
        if holder is not None and _alive(holder, path):
            raise UsageError(
                f"{output}: another run (host {holder['host']}, process {holder['pid']}) is at "
                "work there; wait for it to end, or choose another --output"
            )
        _take_away(path, holder)
    stop = threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _read(path) == mine:
            path.unlink(missing_ok=True)
        for folder in (path.parent, Path(output)):
            with contextlib.suppress(OSError):
                folder.rmdir()  # nothing was begun: leave no empty folder behind


def _read(path: Path) -> Any:
    try:
        return storage.read_json(path)
    except (FileNotFoundError, ValueError):
        return None


def _alive(holder: dict[str, Any], path: Path) -> bool:
    if holder["host"] != socket.gethostname():
        with contextlib.suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime < _EXPIRES_S
        return False
    try:
        process = psutil.Process(holder["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False  # killed, and nobody has waited for it
        # A process id is used again after a while; the start time tells the two apart.
        return abs(process.create_time() - float(holder["began"])) < 1.0
    except psutil.NoSuchProcess:
        return False


def _take_away(path: Path, dead: Any) -> None:
    """Removes a dead holder's lock, but not that of a run which was quicker to take it over."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if _read(aside) != dead:
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _heartbeat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_HEARTBEAT_S):
        with contextlib.suppress(OSError):  # one that is missed is no harm
            os.utime(path)
