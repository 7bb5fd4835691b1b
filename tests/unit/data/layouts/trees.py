"""Draws data sets in the layouts under test, and reads them as the plan and a worker would."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from segflow.data.layouts import Layout, SourcePaths
from segflow.data.pair import read_pair
from segflow.data.planning import PairPlan
from segflow.errors import RejectError
from segflow.label_map import LabelMap
from tests.unit.data.pictures import LIMITS, photo

SIZE = (4, 6)


def draw(root: Path, images: tuple[str, ...] = (), **masks: Any) -> Path:
    """Saves photos, and arrays under their names; a name's `__` stands for a slash."""
    for name in images:
        save(root / name, photo(*SIZE))
    for name, values in masks.items():
        save(root / f"{name.replace('__', '/')}.png", np.asarray(values, np.uint8))
    return root


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write(path: Path, content: Any) -> Path:
    """Text as it is, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def plan(
    layout: Layout, paths: SourcePaths, folder: Path, *, own_splits: bool = True
) -> list[dict[str, Any]]:
    """Rows of the plan, each with its split."""
    run = folder / f"run{sum(1 for _ in folder.iterdir())}"
    run.mkdir()
    pairs = PairPlan(layout, paths, 0, {"train": 1.0}, lambda _: 1, own_splits)
    planned = pairs(run)
    splits = [name for name, count in planned.summary.groups.items() for _ in range(count)]
    rows = [r for part in sorted((run / "plan").iterdir()) for r in pq.read_table(part).to_pylist()]
    return [row | {"split": split} for row, split in zip(rows, splits, strict=True)]


def verdicts(
    layout: Layout,
    root: Path,
    folder: Path,
    label_map: LabelMap | None = None,
    *,
    paths: SourcePaths | None = None,
) -> Mapping[str, Any]:
    """By key: the mask that a worker makes as nested lists, or the reject code."""
    paths = paths or SourcePaths(str(root))
    label_map = label_map or layout.label_map(paths)
    assert label_map is not None
    found: dict[str, Any] = {}
    for row in plan(layout, paths, folder):
        if row["code"]:
            found[row["key"]] = row["code"]
            continue
        try:
            found[row["key"]] = read_pair(row, label_map, LIMITS).mask.tolist()
        except RejectError as error:
            found[row["key"]] = str(error.code)
    return found
