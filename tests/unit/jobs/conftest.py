"""A disk that is quick, or that stops working at a given change."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segflow import storage
from tests.unit.jobs.tally import CutOffError


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power, so none waits until its bytes have reached the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """Counts changes of the disk; cuts off at one: odd numbers before it, even ones after."""
    count, at = [0], [-1]

    def counted(change: Callable) -> Callable:
        def wrapper(*arguments: object, **options: object) -> object:
            count[0] += 1
            if count[0] == at[0]:
                raise CutOffError
            result = change(*arguments, **options)
            count[0] += 1
            if count[0] == at[0]:
                raise CutOffError
            return result

        return wrapper

    for module, names in (
        (storage, ("put", "put_if_absent", "publish")),
        (shutil, ("rmtree",)),
        (Path, ("unlink", "write_text")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, counted(getattr(module, name)))

    def set_to(moment: int) -> list[int]:
        count[0], at[0] = 0, moment
        return count

    yield set_to
    at[0] = -1
