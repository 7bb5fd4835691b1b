"""Checks an evaluation: the images' confusion matrices add up to the scores."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segflow import outputs, scores
from segflow.label_map import LabelMap
from segflow.verify.files import count_problems, file_problems, input_problems, rows


def problems(folder: Path) -> Iterator[str]:
    """Every disagreement between `metrics.json` and the tables."""
    (record,) = outputs.read_records(folder, outputs.EVALUATION)
    damaged = list(file_problems(folder, record["files"]))
    yield from damaged
    yield from input_problems(record["inputs"])
    if damaged:
        return
    label_map = LabelMap.from_dict(record["label_map"])
    confusion = np.zeros((label_map.num_classes,) * 2, np.int64)
    count = 0
    for row in rows(folder, record["files"], "images"):
        confusion += np.array(row["confusion_matrix"], np.int64).reshape(confusion.shape)
        count += 1
    yield from count_problems("images", count, record["examples"])
    yield from count_problems("images", count, record["inputs"]["accepted"])
    rejected = sum(1 for _ in rows(folder, record["files"], "rejects"))
    yield from count_problems("rejects", rejected, record["inputs"]["rejected"])
    again = scores.summarize(confusion, label_map.names)
    for name, value in again.items():
        if value != record[name]:
            yield f"metrics.json: {name} is not what the images' confusion matrices give"
