"""Checks labels: every mask is decoded, its pixels counted and compared with the areas."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import outputs
from segflow.data.mask_formats import decode
from segflow.label.regions import count_regions
from segflow.verify import certainty
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
    means = certainty.Means()
    count = 0
    tables = _parts(files, "images"), _parts(files, "areas")
    yield from count_problems("part files of areas", len(tables[1]), len(tables[0]))
    for images, areas in zip(*tables, strict=False):
        by_image = _areas(folder, areas)
        for row in rows(folder, [images], "images"):
            count += 1
            found = by_image.pop(row["image_uri"], {})
            totals.update({class_id: area["pixels"] for class_id, area in found.items()})
            means.add(row)
            yield from _image_problems(row, found)
        for uri in by_image:
            yield f"{uri}: has areas, but no row in images"
    yield from count_problems("images", count, record["inputs"]["accepted"])
    rejected = sum(1 for _ in rows(folder, files, "rejects"))
    yield from count_problems("rejects", rejected, record["inputs"]["rejected"])
    for entry in record["classes"]:
        what = f"pixels of class {entry['name']}"
        yield from count_problems(what, totals[entry["id"]], entry["pixels"])
    yield from means.problems(record["certainty"])


def _parts(files: Any, table: str) -> list[Mapping[str, Any]]:
    return [file for file in files if file["path"].startswith(f"{table}/")]


def _areas(folder: Path, file: Mapping[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    areas: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows(folder, [file], "areas"):
        areas.setdefault(row["image_uri"], {})[row["class_id"]] = row
    return areas


def _image_problems(
    row: Mapping[str, Any], areas: Mapping[int, Mapping[str, Any]]
) -> Iterator[str]:
    uri, size = row["image_uri"], (row["height"], row["width"])
    pixels = {class_id: area["pixels"] for class_id, area in areas.items()}
    if sum(pixels.values()) != size[0] * size[1]:
        yield f"{uri}: areas add up to {sum(pixels.values())}, not {size[0] * size[1]}"
    yield from certainty.image_problems(row)
    regions: dict[int, int] = {}
    if row["mask"] is not None:
        mask = decode(row["mask"], row["mask_format"])
        yield from _mask_problems(uri, mask, size, pixels)
        if any(area["regions"] is not None for area in areas.values()):
            regions = dict(enumerate(count_regions(mask, int(mask.max()) + 1).tolist()))
    for class_id, area in areas.items():
        yield from certainty.area_problems(area, regions=regions.get(class_id))


def _mask_problems(
    uri: str, mask: NDArray[Any], size: tuple[int, int], pixels: Mapping[int, int]
) -> Iterator[str]:
    ids, counts = np.unique(mask, return_counts=True)
    if mask.shape != size:
        yield f"{uri}: the mask is {mask.shape}, the image {size}"
    if dict(zip(ids.tolist(), counts.tolist(), strict=True)) != dict(pixels):
        yield f"{uri}: the mask's pixels are not those in areas"
