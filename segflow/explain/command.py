"""`segflow explain` from config to what it prints, but for the command line."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segflow import outputs, storage
from segflow.data.remake import find_row
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.explain.again import example_again, label_again
from segflow.explain.config import ExplainConfig
from segflow.explain.labels import LabelRow, run_facts
from segflow.explain.models import dataset, described_dataset, described_model, model
from segflow.explain.sources import source
from segflow.explain.tables import find_rows, shown
from segflow.label.selection import table_parts
from segflow.train.bundle import Bundle


def explain(config: ExplainConfig) -> dict[str, Any]:
    """Finds where a row comes from, and makes it again if that is asked for.

    Args:
        config: The options.

    Returns:
        The lineage, as JSON; with `again`, whether the row made again is equal, if asked for.

    Raises:
        UsageError: There is no such folder or row, or its kind needs other options.
    """
    folder = Path(config.folder)
    kind = outputs.find_kind(folder)
    if kind not in _KINDS:
        raise UsageError(
            f"{folder}: is a {kind.name}; expected labels, a dataset, an evaluation, or a model "
            "bundle"
        )
    return _KINDS[kind](config, folder)


def _labels(config: ExplainConfig, folder: Path) -> dict[str, Any]:
    uri = _given("--image URI", config.image, folder, "labels")
    found = LabelRow.find(folder, uri, config.run)
    lineage = found.lineage(config.model)
    return lineage | ({"again": label_again(found, config.model)} if config.again else {})


def _dataset(config: ExplainConfig, folder: Path) -> dict[str, Any]:
    key = _given("--key KEY", config.key, folder, "a dataset")
    found = Dataset.load(folder)
    rejected = _rows(folder, found.record, "rejects", "key", key)
    table = "rejects" if rejected else "index"
    row = rejected[0] if rejected else find_row(found, key, config.variant)
    lineage: dict[str, Any] = {
        **_row(outputs.DATASET, folder, table, row),
        "dataset": {"fingerprint": found.fingerprint, **described_dataset(found)},
    }
    if config.again and rejected:
        raise UsageError(f"--key {key}: was rejected ({row['code']}), so there is nothing to make")
    if config.again:
        lineage["again"] = example_again(found, key, config.variant)
    return lineage


def _evaluation(config: ExplainConfig, folder: Path) -> dict[str, Any]:
    column, value = ("image_uri", config.image) if config.image else ("key", config.key)
    value = _given("--image URI or --key KEY", value, folder, "an evaluation")
    _refuse_again(config)
    (record,) = outputs.read_records(folder, outputs.EVALUATION)
    tables = {t: _rows(folder, record, t, column, value) for t in ("images", "rejects")}
    table, row = next(((t, rows[0]) for t, rows in tables.items() if rows), ("", None))
    if row is None:
        raise UsageError(f"{folder}: no row of it has the {column} {value!r}")
    made_by, scored = record["model"], record["data"].get("dataset")
    lineage = {
        **_row(outputs.EVALUATION, folder, table, row),
        "run": run_facts(record, folder / outputs.EVALUATION.records),
        "model": model(config.model or str(made_by["path"]), str(made_by["fingerprint"])),
    }
    if scored:
        lineage["dataset"] = dataset(scored, record["config"]["dataset_fingerprint"])
    return lineage


def _bundle(config: ExplainConfig, folder: Path) -> dict[str, Any]:
    _refuse_again(config)
    bundle = Bundle.load(folder)
    about = {"kind": outputs.BUNDLE.name, "folder": storage.absolute(folder)}
    return {**about, "fingerprint": bundle.fingerprint, **described_model(bundle)}


_KINDS: Mapping[outputs.Kind, Callable[[ExplainConfig, Path], dict[str, Any]]] = {
    outputs.LABELS: _labels,
    outputs.DATASET: _dataset,
    outputs.EVALUATION: _evaluation,
    outputs.BUNDLE: _bundle,
}


def _given(flag: str, value: str | None, folder: Path, kind: str) -> str:
    if value is None:
        raise UsageError(f"{folder}: is {kind}; say which row with {flag}")
    return value


def _refuse_again(config: ExplainConfig) -> None:
    if config.again:
        raise UsageError("--again makes rows of labels and of datasets again; leave it out")


def _rows(
    folder: Path, record: Mapping[str, Any], table: str, column: str, value: str
) -> list[dict[str, Any]]:
    return find_rows(table_parts(folder, [record], table), column, value)


def _row(kind: outputs.Kind, folder: Path, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row and its source files; a dataset's split has none."""
    about: dict[str, Any] = {
        "kind": kind.name,
        "folder": storage.absolute(folder),
        "table": table,
        "row": shown(row),
    }
    if row.get("image_uri"):
        sha256, part = row.get("image_sha256"), row.get("image_part")
        about["source"] = source(row["image_uri"], sha256, part)
    masks = row.get("mask_uris") or ([row["mask_uri"]] if row.get("mask_uri") else [])
    if masks:  # of these, no hash is recorded
        about["masks"] = [source(uri, None, row.get("mask_part")) for uri in masks]
    return about
