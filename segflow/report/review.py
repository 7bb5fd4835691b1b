"""The review list as a page: photo, labels and uncertainty of each image, least certain first."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segflow import outputs, storage
from segflow.data.config import DecodeLimits
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from segflow.report import labelled, sections, tables
from segflow.report.labelled import pictures_of
from segflow.report.pictures import Card
from segflow.report.render import render, score

_TOP = 6  # images of the list that the labels' own page shows

_COLUMNS = {"images": f"{labelled.COLUMNS}, uncertainty BLOB"}
_STORED = (
    "SELECT image_uri, image_part, mask, mask_format, uncertainty FROM images "
    "WHERE list_contains($uris, image_uri)"
)


@dataclass(frozen=True)
class Review:
    """The top of a run's review list, for the labels' own page.

    Attributes:
        run: The run's name.
        images: How many the list has.
        page: Relative address of the page that shows them all.
        cards: The first few.
    """

    run: str
    images: int
    page: str
    cards: Sequence[Card]


def top(folder: Path, records: Sequence[Mapping[str, Any]]) -> Review | None:
    """What the labels' page shows of the newest review list; None if there is none.

    Args:
        folder: The labels'.
        records: Of its runs, oldest first.

    Raises:
        UsageError: The list is not as segflow writes it.
    """
    record = _newest(folder, records)
    if record is None:
        return None
    rows = _rows(outputs.review_list(folder, record))
    page = _page_path(folder, record).relative_to(folder).as_posix()
    return Review(record["run"], len(rows), page, _cards(folder, record, rows[:_TOP]))


def draw(folder: Path, records: Sequence[Mapping[str, Any]]) -> Path | None:
    """Draws the page of the newest review list, `review.html` beside it.

    Args:
        folder: The labels'.
        records: Of its runs, oldest first.

    Returns:
        The page's path; None if there is no list.

    Raises:
        UsageError: The list is not as segflow writes it.
    """
    record = _newest(folder, records)
    if record is None:
        return None
    path = _page_path(folder, record)
    storage.put(path, _page(folder, record).encode("utf-8", "replace"))
    return path


def _page(folder: Path, record: Mapping[str, Any]) -> str:
    rows = _rows(outputs.review_list(folder, record))
    return render(
        "review.html",
        kind="review",
        name=folder.resolve().name,
        run=record,
        cards=_cards(folder, record, rows),
        legend=sections.swatches(_label_map(record)),
    )


def _page_path(folder: Path, record: Mapping[str, Any]) -> Path:
    return outputs.review_list(folder, record).with_suffix(".html")


def _newest(folder: Path, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((r for r in reversed(records) if outputs.review_list(folder, r).is_file()), None)


def _label_map(record: Mapping[str, Any]) -> LabelMap:
    return LabelMap.from_dict(record["model"]["label_map"], f"run {record['run']}")


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_parsed(row) for row in csv.DictReader(file)]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not as segflow writes it: {error!r}; remove it") from error


def _parsed(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("rank", "image_uri", "reason", "part")},
        **{name: float(row[name]) for name in ("mean_entropy", "mean_confidence")},
    }


def _cards(
    folder: Path, record: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[Card]:
    """A card for each row, part file after part file: a few masks are in memory at once."""
    label_map, limits = _label_map(record), DecodeLimits.recorded(record["config"])
    by_uri = {row["image_uri"]: row for row in rows}
    wanted = {row["part"] for row in rows}
    cards: dict[str, Card] = {}
    for file in record["files"]:
        if file["path"] in wanted:
            with tables.opened(folder, [file], _COLUMNS) as opened:
                for stored in opened.rows(_STORED, uris=list(by_uri)):
                    uri = stored["image_uri"]
                    cards[uri] = _card(by_uri[uri], stored, label_map, limits)
    return [cards[uri] for uri in by_uri if uri in cards]


def _card(
    row: Mapping[str, Any], stored: Mapping[str, Any], label_map: LabelMap, limits: DecodeLimits
) -> Card:
    figures = f"entropy {score(row['mean_entropy'])}, confidence {score(row['mean_confidence'])}"
    notes = [f"{row['rank']}: {figures}", row["reason"]]
    return Card(row["image_uri"], notes, *pictures_of(stored, label_map, limits))
