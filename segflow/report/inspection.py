"""A close look at a sample of a dataset's stored examples: light, colours, regions of the masks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from segflow.data import mask_formats
from segflow.dataset import Dataset
from segflow.report import pictures, plots
from segflow.report.regions import region_sizes, speck_size
from segflow.report.sections import Swatch, swatches
from segflow.report.statistics import Odd
from segflow.report.stored import stream_records
from segflow.report.tables import Tables

_MOST = 300  # examples
_MOST_PIXELS = 60_000_000  # some ten seconds
_FEWEST = 20
_SHARDS = 6  # of each split: shards are filled by hash, so each is a sample by itself
_BINS = 32
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class Channel:
    """Mean and standard deviation of a colour channel over all pixels, 0 to 255."""

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class ClassRegions:
    """The connected regions of a class: number, and smallest and median size in pixels.

    `specks` of them are smaller than a speck.
    """

    swatch: Swatch
    count: int
    smallest: int
    median: int
    specks: int


@dataclass(frozen=True)
class Inspection:
    """What a sample of `examples` out of `sources` shows, at stored size.

    Attributes:
        examples: Looked at.
        sources: There are, augmented copies left out.
        channels: Red, green, blue.
        brightness: Images by mean brightness.
        regions: Of each class that occurs.
        speck_pixels: Fewer make a region a speck.
        specked: Masks that have specks, those with most first.
    """

    examples: int
    sources: int
    channels: Sequence[Channel]
    brightness: Markup
    regions: Sequence[ClassRegions]
    speck_pixels: int
    specked: Odd


def inspect(opened: Tables, dataset: Dataset, most_odd: int) -> Inspection | None:
    """Looks at a seeded sample; None if no example can be read."""
    rows = _sample(opened, dataset)
    found = _Sums(dataset.label_map.num_classes, speck_size(dataset.image_size))
    for row, rgb, ids in _decoded(dataset, rows):
        found.add(row, rgb, ids)
    if not found.brightness:
        return None
    specked = sorted(found.specked, key=lambda pair: (-pair[0], pair[1]["key"]))
    return Inspection(
        examples=len(found.brightness),
        sources=sum(split.sources for split in dataset.splits.values()),
        channels=found.channels(),
        brightness=plots.histogram(
            "mean brightness, 0 to 255",
            np.histogram(found.brightness, _BINS, (0, 256))[0].tolist(),
            0,
            256,
        ),
        regions=found.regions(swatches(dataset.label_map)),
        speck_pixels=found.speck,
        specked=Odd(
            f"Specks: regions of fewer than {found.speck} pixels",
            len(specked),
            len(found.brightness),
            [row for _, row in specked[:most_odd]],
        ),
    )


@dataclass
class _Sums:
    """What is added up over the sample; images themselves are not kept."""

    classes: int
    speck: int
    brightness: list[float] = field(default_factory=list)
    specked: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pixels = 0
        self._sum, self._squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
        self._sizes: list[list[NDArray[np.int64]]] = [[] for _ in range(self.classes)]

    def add(self, row: Mapping[str, Any], rgb: NDArray[np.uint8], ids: NDArray[Any]) -> None:
        flat = rgb.reshape(-1, 3).astype(np.int64)
        self._pixels += len(flat)
        self._sum += flat.sum(0)
        self._squares += (flat * flat).sum(0)
        self.brightness.append(float(flat.mean(0) @ _LUMA))
        sizes = region_sizes(ids, self.classes)
        for kept, found in zip(self._sizes, sizes, strict=True):
            kept.append(found)
        if specks := sum(int((found < self.speck).sum()) for found in sizes):
            self.specked.append((specks, row))

    def channels(self) -> list[Channel]:
        mean = self._sum / self._pixels
        deviation = np.sqrt(self._squares / self._pixels - mean**2)
        triples = zip(("red", "green", "blue"), mean.tolist(), deviation.tolist(), strict=True)
        return [Channel(*triple) for triple in triples]

    def regions(self, classes: Sequence[Swatch]) -> list[ClassRegions]:
        merged = zip(classes, map(np.concatenate, self._sizes), strict=True)
        return [
            ClassRegions(
                swatch,
                len(sizes),
                int(sizes.min()),
                int(np.median(sizes)),
                int((sizes < self.speck).sum()),
            )
            for swatch, sizes in merged
            if len(sizes)
        ]


def _sample(opened: Tables, dataset: Dataset) -> list[dict[str, Any]]:
    height, width = dataset.image_size
    most = min(_MOST, max(_FEWEST, _MOST_PIXELS // (height * width)))
    return opened.rows(
        "WITH chosen AS (SELECT split, shard FROM index GROUP BY split, shard "
        "QUALIFY row_number() OVER (PARTITION BY split ORDER BY md5($seed || shard), shard) "
        "<= $shards) "
        "SELECT key, split, shard, position FROM index SEMI JOIN chosen USING (split, shard) "
        "WHERE variant = 0 ORDER BY md5($seed || key), key LIMIT $most",
        seed=str(dataset.seed),
        shards=_SHARDS,
        most=most,
    )


def _decoded(
    dataset: Dataset, rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], NDArray[np.uint8], NDArray[Any]]]:
    for row, record in stream_records(dataset.folder, rows):
        yield row, pictures.decode_rgb(record.image), mask_formats.decode(record.mask, "png")
