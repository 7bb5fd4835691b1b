"""The page of a learning-rate test: the loss by the rate."""

import csv
from pathlib import Path

from segflow import storage
from segflow.report import plots
from segflow.report.render import render


def page(folder: Path) -> str:
    """The HTML report of a learning-rate test."""
    record = storage.read_json(folder / "rates.json")
    with (folder / "rates.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rates, losses, smoothed = (
        [float(row[name]) for row in rows] for name in ("learning_rate", "loss", "smoothed_loss")
    )
    suggested = record["suggested_learning_rate"]
    return render(
        "rates.html",
        kind="rate test",
        name=folder.resolve().name,
        record=record,
        plot=plots.rate_test(rates, losses, smoothed, suggested),
    )
