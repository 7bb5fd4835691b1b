"""`segflow compare` from config to its files, but for the command line."""

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from segflow import storage
from segflow.compare.changes import SCHEMA, Changes, counts, image_changes
from segflow.compare.config import CompareConfig
from segflow.errors import UsageError
from segflow.jobs import progress
from segflow.jobs.claim import claimed, publishing
from segflow.jobs.plan import connect
from segflow.label.selection import Selection

TABLE, RECORD = "changes.parquet", "changes.json"

_WORK = "_compare"  # holds the table until it is whole


def compare(config: CompareConfig, console: Console | None = None) -> dict[str, Any]:
    """Counts the pixels that changed class, or finds them counted; a few images are in memory.

    Args:
        config: The options.
        console: Where progress goes; default: stderr.

    Returns:
        What `changes.json` holds.

    Raises:
        UsageError: A side is no labels, the classes differ, no image is in both, or other things
            lie in the output.
        JobError: Two masks of one image differ in size, or a part file is damaged.
    """
    before, after = (Selection.find(side) for side in (config.before, config.after))
    for side in (before, after):
        side.require_masks("to compare")
    if difference := before.label_map.difference(after.label_map):
        raise UsageError(
            f"{config.before} and {config.after} differ in their {difference}; only labels of the "
            "same classes can be compared"
        )
    sides = before, after
    console = console or progress.new_console()
    if config.output is None:
        return _compared(config, sides, contextlib.nullcontext(), console)
    output = Path(config.output)
    with claimed(output, RECORD, (TABLE,), _WORK, _recorded(sides), console) as work:
        if work is not None:
            table = work / TABLE
            writer = pq.ParquetWriter(table, SCHEMA, compression="zstd")
            record = _compared(config, sides, writer, console)
            storage.sync(table)
            with publishing(output, _WORK):
                storage.publish(table, output / TABLE)
                storage.put(output / RECORD, storage.to_json(record))
        return dict(storage.read_json(output / RECORD))


def _compared(
    config: CompareConfig,
    sides: tuple[Selection, Selection],
    table: AbstractContextManager[pq.ParquetWriter | None],
    console: Console,
) -> dict[str, Any]:
    """The record; the rows of the images go to the table, if there is one."""
    classes = sides[0].label_map.num_classes
    with storage.scratch_folder() as scratch, connect(scratch) as connection, table as writer:
        for side, name in zip(sides, ("a", "b"), strict=True):
            side.load(connection, name)
        images = counts(connection)
        _require_common(config, images)
        changes = Changes(np.zeros([classes] * 2, np.int64))
        rows = image_changes(connection, classes)
        for some in progress.counted(rows, images["compared"], "compare", console):
            changes.add(some)
            if writer is not None:
                writer.write_table(pa.Table.from_pylist(list(some), schema=SCHEMA))
    return _record(sides, images, changes)


def _require_common(config: CompareConfig, images: Mapping[str, int]) -> None:
    if not images["compared"]:
        raise UsageError(
            f"no image is in both {config.before} and {config.after} with the same bytes: "
            f"{images['image_changed']} have other bytes, {images['only_before']} are in the first "
            f"only, {images['only_after']} in the second only"
        )


def _record(
    sides: tuple[Selection, Selection], images: Mapping[str, int], changes: Changes
) -> dict[str, Any]:
    missing = images["image_changed"] + images["only_before"]
    return {
        "format_version": 1,
        "config": _recorded(sides),
        "images": {**images, "changed": changes.changed_images},
        "missing_fraction": missing / (images["compared"] + missing),
        "pixels": changes.pixels,
        "changed_pixels": changes.changed_pixels,
        "changed_fraction": changes.changed_fraction,
        "classes": list(sides[0].label_map.names),
        "transitions": changes.transitions.tolist(),
    }


def _recorded(sides: tuple[Selection, Selection]) -> dict[str, Any]:
    """What decides what is written."""
    return {
        name: {
            "labels": storage.absolute(side.folder),
            "runs": [record["run"] for record in side.records],
            "is_run": side.is_run,
            "model": side.records[-1]["model"]["fingerprint"],
        }
        for name, side in zip(("before", "after"), sides, strict=True)
    }
