"""`segflow compare` from config to its files, but for the command line."""

import contextlib
from collections.abc import Iterator, Mapping
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
from segflow.jobs.launch import require_free
from segflow.jobs.plan import connect
from segflow.label.selection import Selection

TABLE, RECORD = "changes.parquet", "changes.json"


def compare(config: CompareConfig, console: Console | None = None) -> dict[str, Any]:
    """Counts the pixels that changed class; images are read a few at a time.

    Args:
        config: The options.
        console: Where progress goes; default: stderr.

    Returns:
        What `changes.json` holds.

    Raises:
        UsageError: A side is no labels, the classes differ, or no image is in both.
        JobError: Two masks of one image differ in size.
    """
    before, after = (Selection.find(side) for side in (config.before, config.after))
    for side in (before, after):
        side.require_masks("to compare")
    if difference := before.label_map.difference(after.label_map):
        raise UsageError(
            f"{config.before} and {config.after} differ in their {difference}; only labels of the "
            "same classes can be compared"
        )
    if config.output is not None:
        require_free(Path(config.output), (TABLE, RECORD))
    with storage.scratch_folder() as scratch, connect(scratch) as connection:
        before.load(connection, "a")
        after.load(connection, "b")
        images = counts(connection)
        _require_common(config, images)
        changes = Changes(np.zeros([before.label_map.num_classes] * 2, np.int64))
        with _table(config.output) as writer:
            rows = image_changes(connection, before.label_map.num_classes)
            console = console or progress.new_console()
            for some in progress.counted(rows, images["compared"], "compare", console):
                changes.add(some)
                if writer is not None:
                    writer.write_table(pa.Table.from_pylist(list(some), schema=SCHEMA))
    record = _record((before, after), images, changes)
    if config.output is not None:
        storage.put(Path(config.output) / RECORD, storage.to_json(record))
    return record


def _require_common(config: CompareConfig, images: Mapping[str, int]) -> None:
    if not images["compared"]:
        raise UsageError(
            f"no image is in both {config.before} and {config.after} with the same bytes: "
            f"{images['image_changed']} have other bytes, {images['only_before']} are in the first "
            f"only, {images['only_after']} in the second only"
        )


@contextlib.contextmanager
def _table(output: str | None) -> Iterator[pq.ParquetWriter | None]:
    """A writer for the table of images, which appears once it is complete; None without output."""
    if output is None:
        yield None
        return
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{TABLE}"
    try:
        with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer:
            yield writer
        storage.sync(unfinished)
        storage.publish(unfinished, folder / TABLE)
    finally:
        unfinished.unlink(missing_ok=True)


def _record(
    sides: tuple[Selection, Selection], images: Mapping[str, int], changes: Changes
) -> dict[str, Any]:
    before, after = sides
    return {
        "format_version": 1,
        "before": _described(before),
        "after": _described(after),
        "images": {**images, "changed": changes.changed_images},
        "pixels": changes.pixels,
        "changed_pixels": changes.changed_pixels,
        "changed_fraction": changes.changed_fraction,
        "classes": list(before.label_map.names),
        "transitions": changes.transitions.tolist(),
    }


def _described(side: Selection) -> dict[str, Any]:
    return {
        "labels": storage.absolute(side.folder),
        "runs": [record["run"] for record in side.records],
        "model": side.records[-1]["model"]["fingerprint"],
    }
