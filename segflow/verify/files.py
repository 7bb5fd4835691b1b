"""What all checks share: listed files are there, whole and unaltered."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segflow.dataset import check_file
from segflow.errors import UsageError


def file_problems(folder: Path, files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Files of a commit record that are missing, cut, or altered; or lie outside the folder."""
    for file in files:
        path = folder / file["path"]
        if not path.resolve().is_relative_to(folder.resolve()):
            yield f"{file['path']}: lies outside the folder"
            continue
        try:
            check_file(path, file["bytes"], file["sha256"])
        except UsageError as error:
            yield str(error)


def input_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Accepted + rejected = listed, and the codes add up."""
    if inputs["accepted"] + inputs["rejected"] != inputs["listed"]:
        yield f"inputs: {inputs['accepted']} + {inputs['rejected']} is not {inputs['listed']}"
    if sum(inputs["by_code"].values()) != inputs["rejected"]:
        yield f"inputs: the rejects by code do not add up to {inputs['rejected']}"


def rows(folder: Path, files: Sequence[Mapping[str, Any]], table: str) -> Iterator[dict[str, Any]]:
    """The rows of a table's listed part files, a batch in memory at a time."""
    for file in files:
        if file["path"].startswith(f"{table}/"):
            with pq.ParquetFile(folder / file["path"]) as part:
                for batch in part.iter_batches(batch_size=256):
                    yield from batch.to_pylist()


def count_problems(what: str, found: int, expected: int) -> Iterator[str]:
    """One line if two counts differ."""
    if found != expected:
        yield f"{what}: {found} found, the record says {expected}"


def alike(one: Any, other: Any) -> bool:
    """Whether two pieces of JSON are equal, but for the rounding of fractions.

    Another machine, or another version of NumPy, may add them up in another order.
    """
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)
