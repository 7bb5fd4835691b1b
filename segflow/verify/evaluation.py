"""Checks an evaluation: the images' counts add up to the scores."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segflow import outputs
from segflow.label_map import LabelMap
from segflow.scores.images import score_images
from segflow.verify.files import count_problems, file_problems, input_problems, rows


def problems(folder: Path) -> Iterator[str]:
    """Every disagreement between `metrics.json` and the tables."""
    (record,) = outputs.read_records(folder, outputs.EVALUATION)
    damaged = list(file_problems(folder, record["files"]))
    yield from damaged
    yield from input_problems(record["inputs"])
    if damaged:
        return
    images, rejected = (
        sum(1 for _ in rows(folder, record["files"], table)) for table in ("images", "rejects")
    )
    yield from count_problems("images", images, record["examples"])
    yield from count_problems("images", images, record["inputs"]["accepted"])
    yield from count_problems("rejects", rejected, record["inputs"]["rejected"])
    again = score_images(folder, record["files"], LabelMap.from_dict(record["label_map"]).names)
    for name, value in again.items():
        if not _alike(value, record.get(name)):
            yield f"metrics.json: {name} is not what the images' counts give"


def _alike(one: Any, other: Any) -> bool:
    """Whether two pieces of JSON are equal, but for the rounding of fractions.

    Another machine, or another version of NumPy, may add them up in another order.
    """
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)
