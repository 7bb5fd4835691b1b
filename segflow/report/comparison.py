"""The page that compares several model bundles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from segflow import outputs
from segflow.errors import UsageError
from segflow.report import history, plots, side_by_side
from segflow.report.render import flatten, render
from segflow.report.side_by_side import Side

_FINGERPRINT = 12  # characters that are shown; enough to tell models apart
# What came of a training, which the tables and curves show, and not how it was set up.
_OUTCOMES = {
    *("epochs_run", "best_epoch", "stopped", "seconds", "input_wait", "overfitting", "mlflow_run"),
}
_PLOTTED = (
    ("Mean IoU on validation", "val_mean_iou", (0.0, 1.0)),
    ("Loss on validation", "val_loss", None),
)


def page(folders: Sequence[Path]) -> str:
    """The HTML page that compares bundles, in the order given.

    Raises:
        UsageError: A folder is no sound model bundle, or is given twice.
    """
    bundles = {folder: _record(folder) for folder in folders}
    if len(bundles) < len(folders):
        raise UsageError("a folder is given twice; give each model once")
    sides: list[Side] = []
    for folder, record in bundles.items():
        sides += _rows(folder, record)
    sides = side_by_side.named(sides)
    names = {Path(side.path): side.name for side in sides if side.weight is None}
    return render(
        "comparison.html",
        kind="comparison",
        name=f"{len(bundles)} models",
        sides=sides,
        classes=side_by_side.class_rows(sides),
        warnings=_warnings(list(bundles.values())),
        curves=_curves(names),
        most_curves=plots.MOST_LINES,
        names=list(names.values()),
        scored=_scored(list(bundles.values())),
        settings=_differences(list(bundles.values())),
    )


def _record(folder: Path) -> dict[str, Any]:
    kind = outputs.find_kind(folder)
    if kind is not outputs.BUNDLE:
        raise UsageError(
            f"{folder}: is no model bundle but {kind.name}; only model bundles are compared, give "
            "any other folder alone"
        )
    return outputs.read_records(folder, kind)[0]


def _rows(folder: Path, record: Mapping[str, Any]) -> list[Side]:
    """The bundle's row, and behind an ensemble's those of its members."""
    *members, itself = side_by_side.members(folder, record) or [
        side_by_side.of_bundle(folder, record)
    ]
    return [itself, *members]


def _scored(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the scores were measured on, each once: `split val of dataset shapes, 40 images`."""
    return list(
        dict.fromkeys(
            f"split {metrics.get('split')} of dataset {Path(record['dataset']['path']).name}, "
            f"{metrics.get('examples')} images"
            for record in records
            if (metrics := record["metrics"])
        )
    )


def _warnings(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why the scores may say nothing of which model is better."""
    found = []
    scored = [record for record in records if record["metrics"]]
    if len({record["dataset"]["fingerprint"] for record in scored}) > 1:
        found.append("The models were scored on different datasets.")
    splits = {record["metrics"].get("split"): None for record in scored}
    if len(splits) > 1:
        found.append(f"The models were scored on different splits: {', '.join(map(str, splits))}.")
    if len({tuple(record["metrics"]["per_class"]) for record in scored}) > 1:
        found.append("The models have different classes, so their means are of different things.")
    return found


def _differences(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """What the models were made with, as far as they differ: (name, a text for each)."""
    made = [
        {
            "model fingerprint": record["fingerprint"][:_FINGERPRINT],
            "dataset fingerprint": (record["dataset"] or {}).get("fingerprint", "")[:_FINGERPRINT],
            **_settings(record),
            "ensemble": record.get("ensemble", {}),
        }
        for record in records
    ]
    flat = [dict(flatten(settings)) for settings in made]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = [(name, [settings.get(name, "") for settings in flat]) for name in names]
    return [(name, texts) for name, texts in rows if len(set(texts)) > 1]


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the training, and of the architecture what these do not say."""
    training = {k: v for k, v in record["training"].items() if k not in _OUTCOMES}
    parameters = record["architecture"].get("parameters", {})
    return {**{k: v for k, v in parameters.items() if k not in training}, **training}


def _curves(names: Mapping[Path, str]) -> list[tuple[str, Markup]]:
    """(Title, plot) of the validation by epoch, a line for each bundle that has a history."""
    histories = {name: history.read(folder) for folder, name in names.items()}
    trained = [(name, rows) for name, rows in histories.items() if rows][: plots.MOST_LINES]
    if not trained:
        return []
    epochs = list(range(1, max(len(rows) for _, rows in trained) + 1))
    return [
        (
            title,
            plots.curves(
                f"{title} by epoch",
                epochs,
                [plots.Curve(name, _filled(rows, column, len(epochs))) for name, rows in trained],
                None,
                limits,
            ),
        )
        for title, column, limits in _PLOTTED
    ]


def _filled(rows: history.Rows, column: str, length: int) -> list[float | None]:
    values = history.column(rows, column)
    return values + [None] * (length - len(values))
