"""Progress of a run, read from its folder: so it works wherever the workers live."""

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from segflow import storage
from segflow.console import plain_console
from segflow.jobs.output import PROGRESS_NAME
from segflow.jobs.run import Run

_POLL_S = 0.5
_LINE_EVERY_S = 10.0  # where the output is no terminal

_Batch = TypeVar("_Batch", bound=Sequence[object])


def new_console() -> Console:
    """A console on a copy of stderr: stderr itself is lent to the workers' logs meanwhile."""
    return plain_console(os.fdopen(os.dup(2), "w", encoding="utf-8"))


@contextlib.contextmanager
def shown(run: Run, job: str, console: Console) -> Iterator[None]:
    """Shows images done, images per second and time left while the body runs."""
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(run, job, console, stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def counted(batches: Iterable[_Batch], images: int, job: str, console: Console) -> Iterator[_Batch]:
    """What is given, some images at a time, with a bar over `images` and the time left."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("images"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
    )
    began = said = time.monotonic()
    done = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(job, total=images)
        for batch in batches:
            yield batch
            bar.advance(task, len(batch))
            done += len(batch)
            now = time.monotonic()
            if not console.is_terminal and now - said >= _LINE_EVERY_S:
                said, rate = now, done / (now - began)
                left = (images - done) / rate
                console.print(
                    f"{job}: {done} of {images} images, {rate:.1f} images/s, {left:.0f} s left"
                )


class _Watch:
    """What the records say so far, of which only new ones are read, and the attempts at work."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seen: set[int] = set()
        self._dead = set(storage.names_in(run.staging))  # left by a launcher before this one
        self._recorded = self._begun = 0
        self._began = time.monotonic()
        self.update()
        self._at_start = self._recorded

    @property
    def images(self) -> int:
        """Dealt with so far."""
        return self._recorded + self._begun

    @property
    def shards(self) -> int:
        return len(self._seen)

    @property
    def rate(self) -> float:
        """Images per second since the watch began."""
        return (self.images - self._at_start) / max(1e-9, time.monotonic() - self._began)

    @property
    def seconds_left(self) -> float:
        return (self._run.listed - self.images) / self.rate if self.rate else math.inf

    def line(self) -> str:
        """One line for a log."""
        left = f", {self.seconds_left:.0f} s left" if math.isfinite(self.seconds_left) else ""
        return (
            f"{self.shards} of {self._run.shard_count} shards, {self.images} of "
            f"{self._run.listed} images, {self.rate:.1f} images/s{left}"
        )

    def update(self) -> None:
        folder = self._run.folder / "records"
        for name in storage.names_in(folder):
            if (shard := int(name.removesuffix(".json"))) not in self._seen:
                record = storage.read_json(folder / name)
                self._seen.add(shard)
                self._recorded += record["accepted"] + record["rejected"]
        self._begun = sum(self._under_way().values())

    def _under_way(self) -> dict[int, int]:
        """Rows dealt with by shard without a record; of its attempts, that furthest on counts."""
        rows: dict[int, int] = {}
        for name in storage.names_in(self._run.staging):
            shard = int(name.partition("-")[0])
            if shard not in self._seen and name not in self._dead:
                rows[shard] = max(rows.get(shard, 0), _rows_done(self._run.staging / name))
        return rows


def _rows_done(attempt: Path) -> int:
    try:
        return int((attempt / PROGRESS_NAME).read_text())
    except OSError:  # nothing said yet, or the attempt is over
        return 0


def _watch(run: Run, job: str, console: Console, stop: threading.Event) -> None:
    watch = _Watch(run)
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(job, total=run.listed, completed=watch.images, rate="")
            while not stop.wait(_POLL_S):
                _advance(bar, task, watch)
            _advance(bar, task, watch)
        return
    said = time.monotonic()
    while not stop.wait(_POLL_S):
        watch.update()
        if time.monotonic() - said >= _LINE_EVERY_S:
            said = time.monotonic()
            console.print(f"{job}: {watch.line()}")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )


def _advance(bar: Progress, task: TaskID, watch: _Watch) -> None:
    watch.update()
    bar.update(task, completed=watch.images, rate=f"{watch.rate:.1f} images/s")
