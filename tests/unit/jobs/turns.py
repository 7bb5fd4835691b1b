"""Two callers who take turns: every order in which their changes of the disk can fall."""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from segflow import storage

FIRST, SECOND = "first_0", "second_0"  # the callers' threads


class Turns:
    """The order of two callers: who may go on to the next change of the disk."""

    def __init__(self, order: Iterator[str]) -> None:
        self._order = order
        self._now = next(order)
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self.taken = {FIRST: 0, SECOND: 0}

    def end_turn(self) -> None:
        """Waits, after a change of the calling thread, until that one's turn comes again."""
        me = threading.current_thread().name
        if me not in self.taken:
            return
        self.taken[me] += 1
        with self._changed:
            self._advance()
            self._await(me)

    def run(self, call: Callable[[], Any]) -> Any:
        """Runs one caller from its first turn to its end."""
        me = threading.current_thread().name
        with self._changed:
            self._await(me)
        try:
            return call()
        finally:
            with self._changed:
                self._ended.add(me)
                self._advance()

    def _advance(self) -> None:
        self._now = next(self._order)
        self._changed.notify_all()

    def _await(self, me: str) -> None:
        other = SECOND if me == FIRST else FIRST
        assert self._changed.wait_for(lambda: self._now == me or other in self._ended, timeout=60)


def in_turns(
    monkeypatch: pytest.MonkeyPatch,
    calls: Sequence[Callable[[], Any]],
    before: int,
    between: int,
) -> tuple[list[Future], dict[str, int]]:
    """Makes two calls: `before` changes of the first, `between` of the second, then the rest.

    Returns:
        What came of the two, and how many changes each has made.
    """
    order = chain(repeat(FIRST, before), repeat(SECOND, between), repeat(FIRST))
    turns = Turns(iter(order))

    def taking_turns(change: Callable) -> Callable:
        def wrapper(*arguments: object, **options: object) -> object:
            try:
                return change(*arguments, **options)
            finally:
                turns.end_turn()

        return wrapper

    with monkeypatch.context() as patch:
        for owner, name in (
            (storage, "put"),
            (storage, "put_if_absent"),
            (storage, "publish"),
            (shutil, "rmtree"),
            (Path, "unlink"),
        ):
            patch.setattr(owner, name, taking_turns(getattr(owner, name)))
        with (
            ThreadPoolExecutor(1, thread_name_prefix="first") as first,
            ThreadPoolExecutor(1, thread_name_prefix="second") as second,
        ):
            results = [first.submit(turns.run, calls[0]), second.submit(turns.run, calls[1])]
            wait(results)
            return results, turns.taken
