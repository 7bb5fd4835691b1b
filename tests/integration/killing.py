"""Commands that are killed on their way."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from segflow import storage
from segflow.jobs import worker
from segflow.jobs.run import Run
from tests.integration.outputs import visible

_PATIENCE_S = 300.0
_POLL_S = 0.005


@contextlib.contextmanager
def started(*words: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`segflow WORDS…` in a process group of its own, which is killed at the end if it lives."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.main", *map(str, words)],
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of a command and of all that it has started; returns when they are dead."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(list(_group(process.pid)), timeout=_PATIENCE_S)


def _group(number: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == number:
                yield process


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All living processes that a command has started."""
    try:
        return list(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Those of them that are Beam's workers: libraries run small programs at the start, too."""
    found = []
    for child in children(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child] if worker.__name__ in child.cmdline() else []
    return found


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Waits until `condition` holds or the process has ended."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "the command hangs"
        time.sleep(_POLL_S)


def progress(output: Path) -> int:
    """How far a run has come: its lock, its plan, its shards' records, its publishing."""
    runs = [path for path in output.glob("_runs/*") if path.is_dir()]
    return (
        (output / "_runs").exists()
        + sum((run / "run.json").exists() for run in runs)
        + sum(len(storage.names_in(run / "records")) for run in runs)
        + bool(visible(output))
    )


def finished_shards(run: Run) -> list[int]:
    """Numbers of the shards that have a record."""
    return [int(Path(name).stem) for name in storage.names_in(run.folder / "records")]


@contextlib.contextmanager
def sources_away(run: Run, shards: list[int], away: Path) -> Iterator[None]:
    """Takes away the source files of some shards: work on them again would reject them."""
    away.mkdir()
    moved = []
    for row in (row for shard in shards for row in run.rows(shard)):
        for uri in filter(None, (row["image_uri"], row.get("mask_uri"))):
            moved.append((Path(uri), away / f"{len(moved)}"))
            Path(uri).rename(moved[-1][1])
    try:
        yield
    finally:
        for source, hidden in moved:
            hidden.rename(source)
