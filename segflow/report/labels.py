"""The page of labelled images: class totals, certainty, overlays, rejects, all runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segflow import storage
from segflow.data.decode import read_rgb
from segflow.errors import RejectError
from segflow.label_map import LabelMap
from segflow.report import pictures, sections, tables
from segflow.report.pictures import Card
from segflow.report.render import percent, render, score

RECORDS = "runs/*.json"

_TYPICAL = 6
_EXTREME = 3  # of the least certain, and of the most certain
_CLASSES = 3  # largest classes named below a picture
_BINS = 40


def page(folder: Path) -> str:
    """The HTML report of a folder of labels: its newest run, and a list of all of them.

    Raises:
        UsageError: The label map in the newest run's record is not sound.
    """
    # Run names sort by start time.
    runs = [storage.read_json(path) for path in sorted(folder.glob(RECORDS), reverse=True)]
    run = runs[0]
    label_map = LabelMap.from_dict(run["model"]["label_map"], f"run {run['run']}")
    images = tables.Table(folder, tables.listed(run["files"], "images"))
    areas = tables.Table(folder, tables.listed(run["files"], "areas"))
    return render(
        "labels.html",
        kind="labels",
        name=folder.resolve().name,
        run=run,
        runs=runs,
        classes=_classes(run, label_map),
        distribution=sections.histogram(images, "mean_confidence", _BINS, "mean confidence"),
        examples=_examples(images, areas, label_map),
        legend=sections.swatches(label_map),
        rejects=sections.rejects(folder, run["files"], run["inputs"]["by_code"]),
    )


def _classes(run: Mapping[str, Any], label_map: LabelMap) -> list[dict[str, Any]]:
    """A row per class of the label map: `swatch`, `pixels`, `fraction`, `images`."""
    found = {entry["id"]: entry for entry in run["classes"]}
    empty = {"pixels": 0, "fraction": 0.0, "images": 0}
    swatches = enumerate(sections.swatches(label_map))
    return [{"swatch": swatch, **found.get(i, empty)} for i, swatch in swatches]


def _examples(
    images: tables.Table, areas: tables.Table, label_map: LabelMap
) -> list[tuple[str, list[Card]]]:
    """The least and the most certain images, and others chosen by hash; none comes twice."""
    orders = (
        ("least certain", "mean_confidence, image_uri", _EXTREME),
        ("most certain", "mean_confidence DESC, image_uri", _EXTREME),
        ("random sample", "md5(image_uri), image_uri", _TYPICAL),
    )
    taken: list[str] = []
    groups = []
    for name, order, count in orders:
        rows = images.rows(
            "SELECT image_uri, mask, mask_format, mean_confidence FROM parts "
            f"WHERE NOT list_contains($taken, image_uri) ORDER BY {order} LIMIT $count",
            taken=taken,
            count=count,
        )
        taken += [row["image_uri"] for row in rows]
        groups.append((name, rows))
    shares = _largest_classes(areas, taken)
    return [
        (name, [_card(row, shares.get(row["image_uri"], ""), label_map) for row in rows])
        for name, rows in groups
        if rows
    ]


def _largest_classes(areas: tables.Table, uris: Sequence[str]) -> dict[str, str]:
    """`sky 40.1 %, road 22.0 %` for each of the images."""
    rows = areas.rows(
        "SELECT image_uri, class_name, fraction FROM parts WHERE list_contains($uris, image_uri) "
        "QUALIFY row_number() OVER (PARTITION BY image_uri ORDER BY pixels DESC, class_id) <= $n "
        "ORDER BY pixels DESC, class_id",
        uris=list(uris),
        n=_CLASSES,
    )
    shares: dict[str, list[str]] = {}
    for row in rows:
        share = f"{row['class_name']} {percent(row['fraction'])}"
        shares.setdefault(row["image_uri"], []).append(share)
    return {uri: ", ".join(texts) for uri, texts in shares.items()}


def _card(row: Mapping[str, Any], shares: str, label_map: LabelMap) -> Card:
    uri = row["image_uri"]
    notes = [f"confidence {score(row['mean_confidence'])}", shares]
    try:
        rgb = read_rgb(uri)
    except RejectError as error:
        return Card(uri, notes, problem=f"the image: {error}; its labels still hold")
    shown = [pictures.photo(rgb, uri)]
    if row["mask_format"] == "png":
        ids = pictures.decode_ids(row["mask"])
        shown.append(pictures.overlay(rgb, ids, label_map, f"labels of {uri}", "labels"))
    return Card(uri, notes, shown)
