"""Checks a dataset: every record is read, its mask decoded, its pixels counted again."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segflow import storage
from segflow.data import leaks
from segflow.data.records import Record, decode_example, read_frames
from segflow.dataset import Dataset, Split
from segflow.jobs.plan import connect
from segflow.label_map import LabelMap
from segflow.verify.files import count_problems, file_problems, input_problems, rows


def problems(folder: Path) -> Iterator[str]:
    """Every disagreement between `dataset.json`, the index, and the records."""
    dataset = Dataset.load(folder)
    files = dataset.record["files"]
    shards = [
        {"path": shard.file, "bytes": shard.bytes, "sha256": shard.sha256}
        for split in dataset.splits.values()
        for shard in split.shards
    ]
    damaged = list(file_problems(folder, [*files, *shards]))
    yield from damaged
    yield from input_problems(dataset.record["inputs"])
    if damaged:
        return
    index = _index_parts(folder, files)
    for split in dataset.splits.values():
        yield from _split_problems(dataset, split, index)
    rejects = sum(1 for _ in rows(folder, files, "rejects"))
    yield from count_problems("rejects", rejects, dataset.record["inputs"]["rejected"])
    yield from _leak_problems(dataset)


def _leak_problems(dataset: Dataset) -> Iterator[str]:
    """What the record says of copies and groups, and the index does not bear out."""
    record, folder = dataset.record, dataset.folder
    parts = [folder / f["path"] for f in record["files"] if f["path"].startswith("index/")]
    near = record["duplicates"]["near"]
    with storage.scratch_folder() as spill, connect(spill) as connection:
        leaks.load_sources(connection, parts)
        found = leaks.summarize(connection, list(dataset.splits), near and near["distance"])
    found["duplicates"]["dropped"] = record["inputs"]["by_code"].get("duplicate_image", 0)
    for name, value in found.items():
        if value != record[name]:
            yield f"{name}: the index gives {value}, the record says {record[name]}"


def _index_parts(folder: Path, files: Any) -> dict[str, Mapping[str, Any]]:
    """The part of the index that describes each shard; one part is in memory at a time."""
    parts = {}
    for file in files:
        if file["path"].startswith("index/"):
            for row in rows(folder, [file], "index"):
                parts[row["shard"]] = file
                break
    return parts


def _split_problems(
    dataset: Dataset, split: Split, index: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    pixels: Counter[int] = Counter()
    sources = ignored = 0
    for shard in split.shards:
        part = index.get(shard.file)
        listed = list(rows(dataset.folder, [part], "index")) if part else []
        examples = sum(1 for _ in read_frames(dataset.folder / shard.file))
        if examples != len(listed) or examples != shard.examples:
            yield (
                f"{shard.file}: {examples} records, {len(listed)} rows in the index, "
                f"{shard.examples} by the record"
            )
            continue
        for row, record in zip(listed, _read(dataset.folder / shard.file), strict=True):
            yield from _record_problems(shard.file, row, record, dataset.label_map)
            pixels.update(dict(enumerate(row["class_pixels"])))
            sources += row["variant"] == 0
            ignored += row["ignored_pixels"]
    yield from count_problems(f"{split.name}: sources", sources, split.sources)
    yield from count_problems(f"{split.name}: ignored pixels", ignored, split.ignored_pixels)
    for class_id, expected in split.class_pixels.items():
        yield from count_problems(f"{split.name}: class {class_id}", pixels[class_id], expected)


def _read(path: Path) -> Iterator[Record]:
    return (decode_example(frame) for frame in read_frames(path))


def _record_problems(
    shard: str, row: Mapping[str, Any], record: Record, label_map: LabelMap
) -> Iterator[str]:
    where = f"{shard} record {row['position']} ({row['key']!r})"
    if record.source_id != row["key"]:
        yield f"{where}: the record's key is {record.source_id!r}"
    with Image.open(io.BytesIO(record.mask)) as image:
        mask = np.asarray(image)
    with Image.open(io.BytesIO(record.image)) as image:
        size = (image.height, image.width)
    if not size == mask.shape == (record.height, record.width) == (row["height"], row["width"]):
        yield f"{where}: image {size} and mask {mask.shape} are not {row['height'], row['width']}"
    counts = np.bincount(mask.ravel(), minlength=label_map.num_classes)[: label_map.num_classes]
    if counts.tolist() != row["class_pixels"] or mask.size - counts.sum() != row["ignored_pixels"]:
        yield f"{where}: the mask's pixels are not those in the index"
