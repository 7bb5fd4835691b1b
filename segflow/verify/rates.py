"""Checks a learning-rate test."""

from collections.abc import Iterator
from pathlib import Path

from segflow import outputs
from segflow.verify import files


def problems(folder: Path) -> Iterator[str]:
    """Whether the table is the one that the record lists."""
    (record,) = outputs.read_records(folder, outputs.RATES)
    yield from files.file_problems(folder, record["files"])
