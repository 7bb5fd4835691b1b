"""`history.csv` of a training, read for a page."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import median

Rows = Sequence[dict[str, str]]
"""A row for each epoch, values as they are written."""


def read(folder: Path) -> Rows:
    """The history of a bundle; empty where it has none."""
    path = folder / "history.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows: Rows, name: str) -> list[float | None]:
    """The numbers of a column; None where there is none."""
    return [float(row[name]) if row.get(name) else None for row in rows]


def speed(rows: Rows) -> float | None:
    """Training images a second, of the median epoch; None without an epoch."""
    speeds = [value for value in column(rows, "images_per_second") if value is not None]
    return median(speeds) if speeds else None
