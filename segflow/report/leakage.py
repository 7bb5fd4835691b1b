"""What may leak from one split into another: groups that straddle, copies of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segflow.data import leaks
from segflow.dataset import Dataset
from segflow.report import pictures
from segflow.report.pictures import Card
from segflow.report.stored import stream_records
from segflow.report.tables import Tables

_SETS = 6  # of exact and of near copies; those across splits come first, then the largest
_IMAGES = 4  # of each set
_GROUPS = 20
_SIDE = 192  # pixels


@dataclass(frozen=True)
class Copies:
    """Copies of images, exact or near.

    Attributes:
        title: What they are.
        sets: How many sets of images that are copies of each other.
        images: In them.
        across: Sets that lie in more than one split.
        shown: A card for each image of a few sets.
    """

    title: str
    sets: int
    images: int
    across: int
    shown: Sequence[Sequence[Card]]


@dataclass(frozen=True)
class Leaks:
    """What leaks.

    Attributes:
        groups: How many groups there are.
        straddling: How many of them lie in several splits.
        largest: Of these, with their images by split.
        splits: Names, in order.
        copies: Exact ones, and near ones where they were looked for.
        dropped: Copies that were left out.
    """

    groups: int
    straddling: int
    largest: Sequence[tuple[str, Mapping[str, int]]]
    splits: Sequence[str]
    copies: Sequence[Copies]
    dropped: int


def warnings(record: Mapping[str, Any]) -> list[str]:
    """One sentence for each way in which the splits of a dataset know each other.

    Args:
        record: The dataset's `dataset.json`; one by another maker may not say.
    """
    found = []
    groups, duplicates = record.get("groups", {}), record.get("duplicates", {})
    if groups.get("straddling"):
        one = groups["straddling"] == 1
        names = ", ".join(row["group"] for row in groups["largest"][:3])
        lie = "One group lies" if one else f"{groups['straddling']} groups lie"
        found.append(f"{lie} in more than one split: {names}{'' if one else ' …'}")
    for title, counts in (("Exact", duplicates.get("exact")), ("Near", duplicates.get("near"))):
        if counts is not None and (across := counts["across_splits"]):
            sets = "set lies" if across == 1 else "sets lie"
            found.append(f"{title} copies: {across} {sets} in more than one split")
    return found


def find(opened: Tables, dataset: Dataset) -> Leaks:
    """Looks for leaks in the index of a dataset."""
    splits = list(dataset.splits)
    opened.execute(
        'CREATE TABLE sources AS SELECT key, split, "group", image_uri, image_sha256, '
        f"image_phash, shard, position FROM {leaks.one_each('index')}"
    )
    groups = leaks.straddling_groups(opened.connection)
    exact = _copies(opened, dataset, splits, None)
    found = [exact]
    duplicates = dataset.record["duplicates"]
    if duplicates["near"] is not None:
        found.append(_copies(opened, dataset, splits, duplicates["near"]["distance"]))
    return Leaks(
        groups=groups["groups"],
        straddling=groups["straddling"],
        largest=[(row["group"], row["images"]) for row in groups["largest"][:_GROUPS]],
        splits=splits,
        copies=found,
        dropped=duplicates["dropped"],
    )


def _copies(
    opened: Tables, dataset: Dataset, splits: Sequence[str], distance: int | None
) -> Copies:
    leaks.find_copies(opened.connection, splits, distance)
    if distance is not None:
        leaks.keep_near_copies(opened.connection)
    counts = leaks.count_copies(opened.connection)
    rows = opened.rows(
        "WITH chosen AS (SELECT set, row_number() OVER (ORDER BY count(DISTINCT split) DESC, "
        "count(*) DESC, min(key)) AS number FROM copies GROUP BY set QUALIFY number <= $sets) "
        "SELECT number, key, split, distance, shard, position FROM copies JOIN chosen USING (set) "
        "WHERE rank <= $images ORDER BY number, rank",
        sets=_SETS,
        images=_IMAGES,
    )
    title = "Exact copies" if distance is None else f"Near copies, up to {distance} bits of 64 away"
    across = counts["across_splits"]
    return Copies(title, counts["sets"], counts["images"], across, _cards(dataset, rows))


def _cards(dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> list[list[Card]]:
    photos = {
        row["key"]: pictures.photo(pictures.decode_rgb(record.image), row["key"], "", _SIDE)
        for row, record in stream_records(dataset.folder, rows)
    }
    sets: dict[int, list[Card]] = {}
    for row in rows:
        bits = f"{row['distance']} bits away" if row["distance"] else ""
        shown = [photos[row["key"]]] if row["key"] in photos else []
        problem = "" if shown else f"{row['shard']} cannot be read; try segflow verify"
        card = Card(row["key"], [row["split"], bits], shown, problem)
        sets.setdefault(row["number"], []).append(card)
    return list(sets.values())
