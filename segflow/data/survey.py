"""A look at every pair before its split is final: what it shows, and what it looks like."""

import functools
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.console import Console

from segflow.data.config import DecodeLimits
from segflow.data.leaks import perceptual_hash
from segflow.data.pair import count_pixels, read_pair
from segflow.errors import RejectError
from segflow.jobs import worker
from segflow.jobs.cores import available_cores
from segflow.label_map import LabelMap

Row = Mapping[str, Any]
Fact = dict[str, Any]

_T = TypeVar("_T")
_Result = Future[list[Fact | None]]
_Work = Callable[[Sequence[Row]], list[Fact | None]]

_ROWS_A_TASK = 8
_TASKS_A_WORKER = 16  # in flight: enough to keep it busy, few enough to bound the memory
_LINE_EVERY_S = 10.0


@dataclass(frozen=True)
class Survey:
    """Reads pairs with all cores.

    Attributes:
        label_map: The classes.
        limits: Caps.
        near: Whether to make perceptual hashes.
    """

    label_map: LabelMap
    limits: DecodeLimits
    near: bool

    def __call__(self, rows: Iterable[Row], console: Console) -> Iterator[Fact]:
        """The facts of each pair that can be read, in order, in bounded memory.

        A pair that cannot be read, or whose decoder crashes, has none: ingest will say why.

        Args:
            rows: Of the plan, with their `split`.
            console: Where progress goes.

        Yields:
            {`key`, `split`, `group`, `image_uri`, `image_sha256`, `image_phash` (None unless
            `near`), `class_pixels` (by class id, at the mask's own size)}.
        """
        said, count = time.monotonic(), 0
        for count, fact in enumerate(self._in_processes(rows), 1):
            if fact is not None:
                yield fact
            if time.monotonic() - said >= _LINE_EVERY_S:
                said = time.monotonic()
                console.print(f"survey: {count} pairs read")
        console.print(f"survey: {count} pairs read")

    def _in_processes(self, rows: Iterable[Row]) -> Iterator[Fact | None]:
        work = functools.partial(_facts, self)
        workers = available_cores()
        pool = _new_pool(workers)
        try:
            for tasks in _batched(_batched(rows, _ROWS_A_TASK), workers * _TASKS_A_WORKER):
                broken = False
                for task, future in [(task, _submit(pool, work, task)) for task in tasks]:
                    try:
                        yield from future.result()
                    except BrokenProcessPool:
                        broken = True
                        yield from _one_by_one(work, task)
                if broken:
                    pool.shutdown()
                    pool = _new_pool(workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, work: _Work, task: Sequence[Row]) -> _Result:
    try:
        return pool.submit(work, task)
    except BrokenProcessPool as error:  # by a task before it
        failed: _Result = Future()
        failed.set_exception(error)
        return failed


def _one_by_one(work: _Work, rows: Sequence[Row]) -> Iterator[Fact | None]:
    """The facts of rows one of which ends its process: that one alone has none."""
    pool = _new_pool(1)
    try:
        for row in rows:
            try:
                yield from pool.submit(work, [row]).result()
            except BrokenProcessPool:
                yield None
                pool.shutdown()
                pool = _new_pool(1)
    finally:
        pool.shutdown(cancel_futures=True)


def _new_pool(workers: int) -> ProcessPoolExecutor:
    # Forking a process that has threads, as this one has, may deadlock the child.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _begin, (os.getpid(),))


def _begin(launcher: int) -> None:
    """Leaves Ctrl-C to the launcher, and ends with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=worker.die_with, args=(launcher,), daemon=True).start()


def _batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _facts(survey: Survey, rows: Sequence[Row]) -> list[Fact | None]:
    return [_fact(survey, row) for row in rows]


def _fact(survey: Survey, row: Row) -> Fact | None:
    try:
        pair = read_pair(row, survey.label_map, survey.limits)
    except RejectError:
        return None
    return {
        **{name: row[name] for name in ("key", "split", "group", "image_uri")},
        "image_sha256": pair.image_sha256,
        "image_phash": perceptual_hash(pair.image) if survey.near else None,
        "class_pixels": count_pixels(pair.mask, survey.label_map),
    }
