"""Checks labels: every mask is decoded, its pixels counted and compared with the areas."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segflow import outputs
from segflow.data.mask_formats import decode
from segflow.verify.files import count_problems, file_problems, input_problems, rows


def problems(folder: Path) -> Iterator[str]:
    """Every disagreement between the runs' records and their tables."""
    for record in outputs.read_records(folder, outputs.LABELS):
        for problem in _run_problems(folder, record):
            yield f"run {record['run']}: {problem}"


def _run_problems(folder: Path, record: Mapping[str, Any]) -> Iterator[str]:
    files = record["files"]
    damaged = list(file_problems(folder, files))
    yield from damaged
    yield from input_problems(record["inputs"])
    if damaged:
        return
    totals: Counter[int] = Counter()
    count = 0
    tables = _parts(files, "images"), _parts(files, "areas")
    yield from count_problems("part files of areas", len(tables[1]), len(tables[0]))
    for images, areas in zip(*tables, strict=False):
        by_image = _areas(folder, areas)
        for row in rows(folder, [images], "images"):
            count += 1
            pixels = by_image.pop(row["image_uri"], {})
            totals.update(pixels)
            yield from _image_problems(row, pixels)
        for uri in by_image:
            yield f"{uri}: has areas, but no row in images"
    yield from count_problems("images", count, record["inputs"]["accepted"])
    rejected = sum(1 for _ in rows(folder, files, "rejects"))
    yield from count_problems("rejects", rejected, record["inputs"]["rejected"])
    for entry in record["classes"]:
        what = f"pixels of class {entry['name']}"
        yield from count_problems(what, totals[entry["id"]], entry["pixels"])
    yield from _adjustment_problems(record)


def _adjustment_problems(record: Mapping[str, Any]) -> Iterator[str]:
    """Adjusting moves pixels between classes, and makes none."""
    rows = (record.get("adjusted_areas") or {}).get("classes") or ()
    total = sum(row["adjusted_pixels"] for row in rows)
    if rows and not math.isclose(total, record["pixels"], rel_tol=1e-9):
        yield f"adjusted areas: {total:.0f} pixels, the record says {record['pixels']}"


def _parts(files: Any, table: str) -> list[Mapping[str, Any]]:
    return [file for file in files if file["path"].startswith(f"{table}/")]


def _areas(folder: Path, file: Mapping[str, Any]) -> dict[str, dict[int, int]]:
    areas: dict[str, dict[int, int]] = {}
    for row in rows(folder, [file], "areas"):
        areas.setdefault(row["image_uri"], {})[row["class_id"]] = row["pixels"]
    return areas


def _image_problems(row: Mapping[str, Any], pixels: Mapping[int, int]) -> Iterator[str]:
    size = (row["height"], row["width"])
    if sum(pixels.values()) != size[0] * size[1]:
        yield f"{row['image_uri']}: areas add up to {sum(pixels.values())}, not {size[0] * size[1]}"
    if row["mask"] is None:
        return
    mask = decode(row["mask"], row["mask_format"])
    ids, counts = np.unique(mask, return_counts=True)
    if mask.shape != size:
        yield f"{row['image_uri']}: the mask is {mask.shape}, the image {size}"
    if dict(zip(ids.tolist(), counts.tolist(), strict=True)) != dict(pixels):
        yield f"{row['image_uri']}: the mask's pixels are not those in areas"
