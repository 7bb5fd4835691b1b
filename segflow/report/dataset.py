"""The page of a dataset: splits, classes, example pairs with their augmented copies, rejects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segflow.data import mask_formats
from segflow.data.records import Record
from segflow.dataset import Dataset, Split
from segflow.report import augmentation, leakage, pictures, sections, statistics, tables
from segflow.report.inspection import Inspection, inspect
from segflow.report.pictures import Card
from segflow.report.refused import thumbnails
from segflow.report.render import render
from segflow.report.sections import Swatch
from segflow.report.statistics import Odd
from segflow.report.stored import read_records
from segflow.report.tables import Tables

_AUGMENTED_KEYS = 4  # rows of variants from the splits that have any
_PLAIN_KEYS = 3  # from each other split
_VARIANTS = 4  # of one key
_ODD_MASKS = 3  # of each kind

_COLUMNS = {
    "index": "key VARCHAR, variant INT, split VARCHAR, image_uri VARCHAR, image_sha256 VARCHAR, "
    "source_height INT, source_width INT, shard VARCHAR, position INT, class_pixels BIGINT[], "
    '"group" VARCHAR, image_phash VARCHAR, tile_row INT, tile_column INT',
    "rejects": sections.REJECTS_COLUMNS,
}


@dataclass(frozen=True)
class _Share:
    """A class in a split: pixels of the stored masks, and examples that show it."""

    pixels: int
    share: float
    images: int
    images_share: float


@dataclass(frozen=True)
class _Examples:
    """Examples of one split; with augmented copies a row of cards per key."""

    split: str
    rows: Sequence[tuple[str, Sequence[Card]]]
    augmented: bool


def page(folder: Path) -> str:
    """The HTML report of a committed dataset.

    Raises:
        UsageError: The folder's `dataset.json` is not sound.
    """
    dataset = Dataset.load(folder)
    record = dataset.record
    splits = [split for split in dataset.splits.values() if split.examples]
    with tables.opened(folder, record["files"], _COLUMNS) as opened:
        classes = _classes(opened, dataset, splits)
        inspection = inspect(opened, dataset, _ODD_MASKS)
        refused = sections.rejects(opened, record["inputs"]["by_code"])
        return render(
            "dataset.html",
            kind="dataset",
            name=folder.resolve().name,
            dataset=dataset,
            splits=splits,
            total=sum(split.examples for split in splits),
            inputs=record["inputs"],
            classes=classes,
            options={k: v for k, v in record["config"].items() if k != "label_map"},
            absent=_absent(classes, splits),
            largest=max((s.share for _, row in classes for s in row), default=0) or 1,
            examples=[_examples(opened, dataset, split) for split in splits],
            augmentations=augmentation.cards(opened, dataset),
            legend=sections.swatches(dataset.label_map),
            weights=record["class_weights"],
            sizes=statistics.sizes(opened),
            together=statistics.together(opened, dataset.label_map.names),
            inspection=inspection,
            suspicious=_suspicious(opened, dataset, inspection),
            leaks=leakage.find(opened, dataset),
            leak_warnings=leakage.warnings(record),
            rejects=refused,
            thumbnails=thumbnails(refused),
        )


def _suspicious(
    opened: Tables, dataset: Dataset, inspection: Inspection | None
) -> list[tuple[Odd, list[Card]]]:
    """Kinds of odd masks, each with cards of a few."""
    kinds = statistics.odd_masks(opened, dataset.seed, _ODD_MASKS)
    kinds += [inspection.specked] if inspection else []
    return [(odd, _plain_cards(dataset, odd.rows)) for odd in kinds]


def _plain_cards(dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> list[Card]:
    records = read_records(dataset.folder, rows)
    return [
        _card({**row, "variant": 0}, record, dataset, augmented=False)
        for row, record in zip(rows, records, strict=True)
    ]


def _classes(
    opened: Tables, dataset: Dataset, splits: Sequence[Split]
) -> list[tuple[Swatch, list[_Share]]]:
    rows = opened.rows(
        "SELECT split, id, count(*) AS images FROM (SELECT split, unnest(class_pixels) AS pixels, "
        "generate_subscripts(class_pixels, 1) - 1 AS id FROM index) WHERE pixels > 0 GROUP BY ALL"
    )
    images = {(row["split"], row["id"]): row["images"] for row in rows}
    swatches = enumerate(sections.swatches(dataset.label_map))
    return [(s, [_share(split, i, images) for split in splits]) for i, s in swatches]


def _share(split: Split, class_id: int, images: Mapping[tuple[str, int], int]) -> _Share:
    pixels = split.class_pixels.get(class_id, 0)
    shown = images.get((split.name, class_id), 0)
    total = sum(split.class_pixels.values()) or 1
    return _Share(pixels, pixels / total, shown, shown / split.examples)


def _absent(
    classes: Sequence[tuple[Swatch, Sequence[_Share]]], splits: Sequence[Split]
) -> list[tuple[str, list[str]]]:
    """Splits that lack classes, with the names of these."""
    missing = [
        (split.name, [s.name for s, row in classes if not row[i].pixels])
        for i, split in enumerate(splits)
    ]
    return [(split, names) for split, names in missing if names]


def _examples(opened: Tables, dataset: Dataset, split: Split) -> _Examples:
    augmented = split.examples > split.sources
    chosen = opened.rows(
        "SELECT key, variant, shard, position FROM index WHERE split = $split AND variant < $most "
        "AND key IN (SELECT key FROM index WHERE split = $split AND variant = 0 "
        "ORDER BY md5($seed || key), key LIMIT $keys) ORDER BY md5($seed || key), key, variant",
        split=split.name,
        most=_VARIANTS,
        keys=_AUGMENTED_KEYS if augmented else _PLAIN_KEYS,
        seed=str(dataset.seed),
    )
    records = read_records(dataset.folder, chosen)
    cards: dict[str, list[Card]] = {}
    for row, record in zip(chosen, records, strict=True):
        cards.setdefault(row["key"], []).append(_card(row, record, dataset, augmented))
    return _Examples(split.name, list(cards.items()), augmented)


def _card(row: Mapping[str, Any], record: Record | None, dataset: Dataset, augmented: bool) -> Card:
    variant = f"augmented {row['variant']}" if row["variant"] else "original"
    title = variant if augmented else row["key"]  # with copies the key stands above their row
    if record is None:
        return Card(title, problem=f"{row['shard']} cannot be read; try segflow verify")
    rgb, ids = pictures.decode_rgb(record.image), mask_formats.decode(record.mask, "png")
    alt = f"{row['key']}, {variant}"
    return Card(
        title,
        pictures=[
            pictures.photo(rgb, alt),
            pictures.overlay(rgb, ids, dataset.label_map, f"mask of {alt}", "mask"),
        ],
    )
