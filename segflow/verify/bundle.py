"""Checks a model bundle."""

from collections.abc import Iterator
from pathlib import Path

from segflow.errors import UsageError
from segflow.train.bundle import Bundle


def problems(folder: Path) -> Iterator[str]:
    """Whether record, fingerprint and model file fit one another."""
    try:
        Bundle.load(folder)
    except UsageError as error:
        yield str(error)
