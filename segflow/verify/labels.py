"""Checks labels: every mask is decoded, its pixels counted and compared with the areas."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segflow import outputs
from segflow.data.mask_formats import MaskFormat, bands
from segflow.errors import UsageError
from segflow.label.regions import RegionSums
from segflow.references.adjustment import adjusted
from segflow.references.stored import Reference
from segflow.scores.areas import effective_number
from segflow.verify import certainty
from segflow.verify.files import alike, count_problems, file_problems, input_problems, rows

Row = Mapping[str, Any]


@dataclass
class _Found:
    """What the tables of a run hold: images, by class id pixels and square metres, and means.

    `squares` are of each image's pixels and area.
    """

    images: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    area: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    squares: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    means: certainty.Means = field(default_factory=certainty.Means)

    def add(self, image: Row, areas: Sequence[Row]) -> None:
        """Adds an image, by its row of `images` and its rows of `areas`."""
        self.images += 1
        self.means.add(image)
        for row in areas:
            self.pixels[row["class_id"]] += row["pixels"]
            self.area[row["class_id"]] += row["area"] or 0
        for name in ("pixels", "area"):
            self.squares[name] += sum(row[name] or 0 for row in areas) ** 2

    def effective_images(self, *, has_area: bool) -> dict[str, float | None]:
        """As a run's record has them."""
        area = effective_number(sum(self.area.values()), self.squares["area"])
        return {
            "pixels": effective_number(self.pixels.total(), self.squares["pixels"]),
            "area": area if has_area else None,
        }


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
    found = _Found()
    tables = _parts(files, "images"), _parts(files, "areas")
    yield from count_problems("part files of areas", len(tables[1]), len(tables[0]))
    for images, areas in zip(*tables, strict=False):
        yield from _part_problems(folder, images, areas, found)
    yield from count_problems("images", found.images, record["inputs"]["accepted"])
    rejected = sum(1 for _ in rows(folder, files, "rejects"))
    yield from count_problems("rejects", rejected, record["inputs"]["rejected"])
    gone = sum(1 for _ in rows(folder, files, "gone"))
    yield from count_problems("images that are gone", gone, record["gone"])
    for entry in record["classes"]:
        yield from _class_problems(entry, found)
    yield from found.means.problems(record["certainty"])
    has_area = any(entry["area"] is not None for entry in record["classes"])
    if not alike(found.effective_images(has_area=has_area), record["effective_images"]):
        yield "effective_images is not what the images' sizes give"
    yield from _adjustment_problems(record)


def _adjustment_problems(record: Mapping[str, Any]) -> Iterator[str]:
    """Makes adjusted areas again where their reference is at hand, and compares all numbers.

    Where it is not, adjusting still moves pixels between classes, and makes none.
    """
    told = record["adjusted_areas"]
    reference = _reference(told["reference"])
    if reference is not None:
        again = adjusted(reference, record["classes"], record["effective_images"])
        for name in ("level", "reason", "classes"):
            if not alike(again[name], told[name]):
                yield f"adjusted areas: {name} is not what {reference.path} gives"
        return
    rows = told["classes"] or ()
    total = sum(row["adjusted_pixels"] for row in rows)
    if rows and not math.isclose(total, record["pixels"], rel_tol=1e-9):
        yield f"adjusted areas: {total:.0f} pixels, the record says {record['pixels']}"


def _reference(described: Mapping[str, Any] | None) -> Reference | None:
    """The reference that a record names, unless it is gone or another one by now."""
    if described is None or not Path(described["path"]).is_file():
        return None
    try:
        reference = Reference.load(described["path"])
    except UsageError:
        return None
    return reference if reference.sha256 == described["sha256"] else None


def _parts(files: Any, table: str) -> list[Mapping[str, Any]]:
    return [file for file in files if file["path"].startswith(f"{table}/")]


def _part_problems(folder: Path, images: Row, areas: Row, found: _Found) -> Iterator[str]:
    """Compares a part of `images` with that of `areas`; adds both to what is found."""
    by_image: dict[str, list[Row]] = {}
    for row in rows(folder, [areas], "areas"):
        by_image.setdefault(row["image_uri"], []).append(row)
    for row in rows(folder, [images], "images"):
        of_image = by_image.pop(row["image_uri"], [])
        found.add(row, of_image)
        yield from _image_problems(row, of_image)
        yield from _ground_problems(row, of_image)
        yield from certainty.image_problems(row)
    for uri in by_image:
        yield f"{uri}: has areas, but no row in images"


def _image_problems(row: Row, areas: Sequence[Row]) -> Iterator[str]:
    uri, size = row["image_uri"], (row["height"], row["width"])
    pixels = {area["class_id"]: area["pixels"] for area in areas}
    if sum(pixels.values()) != size[0] * size[1]:
        yield f"{uri}: areas add up to {sum(pixels.values())}, not {size[0] * size[1]}"
    regions: dict[int, int] = {}
    if row["mask"] is not None:
        found, shape = _counted(row["mask"], row["mask_format"])
        if shape != size:
            yield f"{uri}: the mask is {shape}, the image {size}"
        if found != pixels:
            yield f"{uri}: the mask's pixels are not those in areas"
        if any(area["regions"] is not None for area in areas):
            regions = _regions(row["mask"], row["mask_format"], shape[1], max(found) + 1)
    for area in areas:
        yield from certainty.area_problems(area, regions=regions.get(area["class_id"]))


def _ground_problems(row: Row, areas: Sequence[Row]) -> Iterator[str]:
    side = row["ground_resolution"]
    for area in areas:
        expected = None if side is None else area["pixels"] * side**2
        if area["area"] != expected:
            found = f"{area['class_name']} covers {area['area']} m2"
            yield f"{row['image_uri']}: {found}, its pixels and their size say {expected}"


def _class_problems(entry: Mapping[str, Any], found: _Found) -> Iterator[str]:
    what, pixels, area = f"of class {entry['name']}", found.pixels, found.area[entry["id"]]
    yield from count_problems(f"pixels {what}", pixels[entry["id"]], entry["pixels"])
    if entry["area"] is not None and not math.isclose(area, entry["area"], rel_tol=1e-9):
        yield f"area {what}: {area} m2 found, the record says {entry['area']}"


def _counted(mask: bytes, mask_format: MaskFormat) -> tuple[dict[int, int], tuple[int, int]]:
    """Pixels by class id, and the (height, width), of a stored mask."""
    found: Counter[int] = Counter()
    height = width = 0
    for band in bands(mask, mask_format):
        ids, counts = np.unique(band, return_counts=True)
        found.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
        height, width = height + band.shape[0], band.shape[1]
    return dict(found), (height, width)


def _regions(mask: bytes, mask_format: MaskFormat, width: int, classes: int) -> dict[int, int]:
    """Regions by class id in a stored mask."""
    regions = RegionSums(width, classes)
    for band in bands(mask, mask_format):
        regions.add(band)
    return dict(enumerate(regions.counts.tolist()))
