"""Checks an evaluation: the images' counts add up to the scores."""

from collections.abc import Iterator
from pathlib import Path

from segflow import outputs
from segflow.label_map import LabelMap
from segflow.scores.images import score_images
from segflow.verify.files import alike, count_problems, file_problems, input_problems, rows


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
        if not alike(value, record.get(name)):
            yield f"metrics.json: {name} is not what the images' counts give"
