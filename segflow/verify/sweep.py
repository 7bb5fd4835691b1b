"""Checks a sweep."""

from collections.abc import Iterator
from pathlib import Path

from segflow import outputs
from segflow.verify import bundle, files


def problems(folder: Path) -> Iterator[str]:
    """Whether the table is the one that the record lists, and each trial's bundle is sound."""
    (record,) = outputs.read_records(folder, outputs.SWEEP)
    yield from files.file_problems(folder, record["files"])
    for trial in record["results"]:
        if trial["status"] == "done":
            yield from bundle.problems(folder / "trials" / f"{trial['number']:03d}")
