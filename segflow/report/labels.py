"""The page of labelled images: classes, what changed, certainty, overlays, rejects, all runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segflow import outputs
from segflow.data.config import DecodeLimits
from segflow.label_map import LabelMap
from segflow.report import label_classes, labelled, review, sections, tables
from segflow.report.labelled import pictures_of
from segflow.report.pictures import Card
from segflow.report.render import percent, render, score
from segflow.report.tables import Tables

_TYPICAL = 6
_EXTREME = 3  # of the least certain, and of the most certain
_CLASSES = 3  # largest classes named below a picture
_BINS = 40

_RUN = "regexp_extract(filename, 'run=([^/]*)/[^/]*$', 1)"

_COLUMNS = {
    "images": f"{labelled.COLUMNS}, mean_confidence DOUBLE",
    "areas": "image_uri VARCHAR, class_id INT, class_name VARCHAR, pixels BIGINT, fraction DOUBLE, "
    "area DOUBLE",
    "rejects": sections.REJECTS_COLUMNS,
    "gone": "image_uri VARCHAR",
}

# What holds now, of all that the page asks about, is found once.
_CURRENT = f"""
CREATE TABLE current AS
  WITH labelled AS (
    SELECT image_uri, {_RUN} AS run FROM images
  ), left_out AS (
    SELECT image_uri, {_RUN} AS run FROM rejects
    UNION ALL
    SELECT image_uri, {_RUN} AS run FROM gone
  )
{outputs.HOLDING};
CREATE VIEW current_images AS
  SELECT * FROM (SELECT *, {_RUN} AS run FROM images) SEMI JOIN current USING (image_uri, run);
CREATE VIEW current_areas AS
  SELECT * FROM (SELECT *, {_RUN} AS run FROM areas) SEMI JOIN current USING (image_uri, run);
"""


def page(folder: Path) -> str:
    """The HTML report of a folder of labels: all that its newest model made, and every run.

    Raises:
        UsageError: The label map in the newest run's record is not sound.
    """
    runs = outputs.read_records(folder, outputs.LABELS)[::-1]
    model = runs[0]["model"]
    label_map = LabelMap.from_dict(model["label_map"], f"{folder}: run {runs[0]['run']}")
    ours = [run for run in runs if run["model"]["fingerprint"] == model["fingerprint"]]
    files = [file for run in ours for file in run["files"]]
    with tables.opened(folder, files, _COLUMNS) as opened:
        opened.execute(_CURRENT)
        counts = _counts(opened)
        classes = label_classes.classes(opened, label_map)
        return render(
            "labels.html",
            kind="labels",
            name=folder.resolve().name,
            run=runs[0],
            runs=runs,
            runs_of_model=len(ours),
            counts=counts,
            classes=classes,
            pixels=sum(row["pixels"] for row in classes),
            adjusted=label_classes.adjusted(ours, classes, label_classes.effective_images(opened)),
            tenths=label_classes.tenths(opened, classes),
            change=label_classes.change(runs, classes),
            throughput=label_classes.throughput,
            distribution=sections.histogram(
                opened, "current_images", "mean_confidence", _BINS, "mean confidence"
            ),
            examples=_examples(opened, label_map, ours),
            review=review.top(folder, runs[::-1]),
            legend=sections.swatches(label_map),
            rejects=sections.rejects(opened, _rejects_by_code(ours)),
        )


def _counts(opened: Tables) -> dict[str, Any]:
    """Images with labels that hold, and images that were labelled and are gone."""
    return opened.rows(
        "SELECT (SELECT count(*) FROM current) AS images, (SELECT count(DISTINCT image_uri) "
        "FROM gone ANTI JOIN current USING (image_uri)) AS gone"
    )[0]


def _rejects_by_code(runs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for run in runs:
        for code, n in run["inputs"]["by_code"].items():
            counts[code] = counts.get(code, 0) + n
    return counts


def _examples(
    opened: Tables, label_map: LabelMap, runs: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[Card]]]:
    """The least and the most certain images, and others chosen by hash; none comes twice."""
    orders = (
        ("least certain", "mean_confidence, image_uri", _EXTREME),
        ("most certain", "mean_confidence DESC, image_uri", _EXTREME),
        ("random sample", "md5(image_uri), image_uri", _TYPICAL),
    )
    groups: list[tuple[str, list[str]]] = []
    taken: list[str] = []
    for name, order, count in orders:
        rows = opened.rows(
            "SELECT image_uri FROM current_images WHERE NOT list_contains($taken, image_uri) "
            f"ORDER BY {order} LIMIT $count",
            taken=taken,
            count=count,
        )
        groups.append((name, [row["image_uri"] for row in rows]))
        taken += groups[-1][1]
    cards = _cards(opened, taken, label_map, runs)
    return [(name, [cards[uri] for uri in uris]) for name, uris in groups if uris]


def _cards(
    opened: Tables, uris: Sequence[str], label_map: LabelMap, runs: Sequence[Mapping[str, Any]]
) -> dict[str, Card]:
    limits = {run["run"]: DecodeLimits.recorded(run["config"]) for run in runs}
    shares = _largest_classes(opened, uris)
    rows = opened.rows(
        "SELECT image_uri, image_part, mask, mask_format, mean_confidence, run FROM current_images "
        "WHERE list_contains($uris, image_uri)",
        uris=list(uris),
    )
    return {
        row["image_uri"]: _card(
            row, shares.get(row["image_uri"], ""), label_map, limits[row["run"]]
        )
        for row in rows
    }


def _largest_classes(opened: Tables, uris: Sequence[str]) -> dict[str, str]:
    """`sky 40.1 %, road 22.0 %` for each of the images."""
    rows = opened.rows(
        "SELECT image_uri, class_name, fraction FROM current_areas "
        "WHERE list_contains($uris, image_uri) "
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


def _card(row: Mapping[str, Any], shares: str, label_map: LabelMap, limits: DecodeLimits) -> Card:
    notes = [f"confidence {score(row['mean_confidence'])}", shares]
    if row["mask"] is None:
        notes.append("no mask was stored")
    return Card(row["image_uri"], notes, *pictures_of(row, label_map, limits))
