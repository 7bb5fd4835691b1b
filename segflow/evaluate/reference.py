"""Keeps what an evaluation counted in the bundle that it scored, for `label` to adjust areas by.

An image counts only if the model was not trained on it. That is known where the datasets of the
model, of an ensemble's members, and of the bundles that trainings went on from are at hand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segflow import outputs, storage
from segflow.dataset import Dataset, recorded_places
from segflow.errors import UsageError
from segflow.jobs.plan import ROWS_AT_ONCE, connect
from segflow.parts import escaped
from segflow.references import stored
from segflow.references.stored import Reference
from segflow.train.bundle import Bundle

_COLUMNS = ["image_sha256", "confusion_matrix"]

# What has the same bytes is one image, and so are the tiles of one.
_COUNTED = """
    CREATE VIEW counted AS
    SELECT image_sha256, truth, prediction, sum(pixels)::BIGINT AS pixels
    FROM cells ANTI JOIN trained USING (image_sha256)
    GROUP BY ALL
"""

_SUMS = """
    SELECT (SELECT count(DISTINCT image_sha256) FROM counted),
           (SELECT coalesce(sum(pixels), 0)::BIGINT FROM counted),
           (SELECT count(DISTINCT image_sha256) FROM cells SEMI JOIN trained USING (image_sha256))
"""


@dataclass(frozen=True)
class _Sums:
    """Images and pixels that count, and images left out as the model was trained on them."""

    images: int
    pixels: int
    trained_on: int


def keep(evaluation: Path, bundle: Bundle) -> str:
    """Stores an evaluation's counts in the bundle, unless they are there already.

    What was kept when the model's datasets were not at hand is written anew once they are.

    A bundle that cannot be written to stays as it is: the evaluation is none the worse for it.

    Args:
        evaluation: A committed one.
        bundle: Where the model lay that was scored.

    Returns:
        One line that says what became of it.

    Raises:
        UsageError: The evaluation's record is not sound.
    """
    (metrics,) = outputs.read_records(evaluation, outputs.EVALUATION)
    if metrics["model"]["fingerprint"] != bundle.fingerprint:
        return (
            f"warning: {bundle.folder} is by now another model than the one that was scored, so "
            "segflow label cannot adjust areas by this evaluation"
        )
    path = stored.record_path(bundle.folder, metrics["run"])
    kept, training = _kept(path), _training_parts(bundle, metrics["data"].get("dataset"))
    if kept is not None and (kept.get("trained_on") is not None or training is None):
        return f"reference: {path}, for segflow label to adjust areas by"
    if training is None and metrics["data"].get("split") == "train":
        return (
            "reference: none, as models are trained on the split 'train', and the dataset that "
            "this one was trained on is not at hand; areas cannot be adjusted by these"
        )
    files = [file for file in metrics["files"] if file["path"].startswith("images/")]
    parts = [evaluation / file["path"] for file in files if file["rows"]]
    if parts and "image_sha256" not in pq.read_schema(parts[0]).names:
        return "reference: none, as this evaluation is of an older segflow; evaluate anew"
    with storage.scratch_folder() as scratch:
        table = scratch / "reference.parquet"
        sums = _count(parts, training or (), bundle.label_map.num_classes, table)
        try:
            if not sums.images:
                if kept is not None:  # from when nobody knew
                    path.unlink()
                what = (
                    "was trained on every image" if sums.trained_on else "saw no pixel that counts"
                )
                return f"reference: none, as the model {what}; areas cannot be adjusted by these"
            record = _record(metrics, evaluation, bundle, sums, training is not None)
            stored.put(path, table, record)
        except OSError as error:
            return (
                f"warning: {path.parent} cannot be written to ({error}), so segflow label cannot "
                "adjust areas by this evaluation, which is complete otherwise"
            )
    return f"reference: {path}, {sums.images} images for segflow label to adjust areas by"


def _kept(path: Path) -> Mapping[str, Any] | None:
    """The record of a reference; None if there is none, or not a whole one."""
    try:
        return Reference.load(path).record
    except UsageError:
        return None


def _record(
    metrics: Mapping[str, Any], evaluation: Path, bundle: Bundle, sums: _Sums, known: bool
) -> dict[str, Any]:
    config = metrics["config"]
    raw = config.get("dataset") is None
    return {
        "model_fingerprint": metrics["model"]["fingerprint"],
        "run": metrics["run"],
        "started": metrics["started"],
        "evaluation": storage.absolute(evaluation),
        "data": metrics["data"],
        "dataset_fingerprint": config.get("dataset_fingerprint"),
        "size": "original" if raw else "stored",
        "resize": bundle.resize,
        "tta": config["tta"],
        **({name: config.get(name) for name in ("windows", "window_overlap")} if raw else {}),
        "images": sums.images,
        "pixels": sums.pixels,
        "trained_on": sums.trained_on if known else None,
        "versions": metrics["versions"],
    }


def _count(parts: Sequence[Path], training: Sequence[Path], classes: int, table: Path) -> _Sums:
    """Writes the table of a reference to `table`, out of core."""
    cells = table.with_name("cells.parquet")
    with pq.ParquetWriter(cells, stored.SCHEMA, compression="zstd") as writer:
        for batch in _batches(parts):
            writer.write_batch(_cells(batch, classes))
    with connect(table.with_name("spill")) as connection:
        connection.execute("CREATE TABLE cells AS FROM read_parquet($1)", [escaped(cells)])
        _load_training(connection, training)
        connection.execute(_COUNTED)
        rows = connection.sql("FROM counted ORDER BY ALL").to_arrow_reader(ROWS_AT_ONCE)
        with pq.ParquetWriter(table, stored.SCHEMA, compression="zstd") as writer:
            for batch in rows:
                writer.write_batch(batch.cast(stored.SCHEMA))
        found = connection.execute(_SUMS).fetchone()
    assert found is not None
    return _Sums(*found)


def _batches(parts: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            yield from file.iter_batches(stored.IMAGES_AT_ONCE, columns=_COLUMNS, use_threads=False)


def _cells(batch: pa.RecordBatch, classes: int) -> pa.RecordBatch:
    """The cells of the images' matrices that are not zero, a row each."""
    counts = batch.column("confusion_matrix").flatten().to_numpy()
    counts = counts.reshape(len(batch), classes**2)
    image, cell = np.nonzero(counts)
    truth, prediction = np.divmod(cell, classes)
    columns = [
        batch.column("image_sha256").take(pa.array(image)),
        pa.array(truth, pa.int32()),
        pa.array(prediction, pa.int32()),
        pa.array(counts[image, cell], pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=stored.SCHEMA)


def _load_training(connection: duckdb.DuckDBPyConnection, training: Sequence[Path]) -> None:
    connection.execute("CREATE TABLE trained (image_sha256 VARCHAR)")
    if training:
        connection.execute(
            "INSERT INTO trained SELECT DISTINCT image_sha256 "
            "FROM read_parquet($1, hive_partitioning = false) WHERE split = 'train'",
            [[escaped(part) for part in training]],
        )


def _training_parts(bundle: Bundle, scored: str | None) -> list[Path] | None:
    """The indexes of all datasets that a model was trained on.

    Args:
        bundle: The model's.
        scored: The dataset that was scored, if one was: it may be the same, in another place.

    Returns:
        None if one of them is not at hand.
    """
    waiting, seen = [bundle], set()
    parts: list[Path] = []
    try:
        while waiting:
            one = waiting.pop()
            if one.fingerprint not in seen:
                seen.add(one.fingerprint)
                waiting += _made_of(one)
                parts += [] if one.is_ensemble else _index_of(one, scored)
    except UsageError:
        return None
    return parts


def _made_of(bundle: Bundle) -> list[Bundle]:
    """An ensemble's members, or what a training went on from.

    Raises:
        UsageError: One is not where it was.
    """
    origin = (bundle.record.get("training") or {}).get("origin")
    named = bundle.record["members"] if bundle.is_ensemble else [origin] if origin else []
    return [_bundle_of(entry, bundle.folder) for entry in named]


def _bundle_of(recorded: Mapping[str, str], near: Path) -> Bundle:
    for place in recorded_places(recorded["path"], near):
        try:
            found = Bundle.load(place)
        except UsageError:
            continue
        if found.fingerprint == recorded["fingerprint"]:
            return found
    raise UsageError(f"model {recorded['path']}: not there, or another one by now")


def _index_of(bundle: Bundle, scored: str | None) -> list[Path]:
    """The index of the dataset that a bundle names.

    Raises:
        UsageError: It names none, or one that lies neither there nor where the scored one does.
    """
    missing = UsageError("the dataset that the model was trained on is not at hand")
    recorded = bundle.record.get("dataset")
    if not recorded:
        raise missing
    places = recorded_places(recorded["path"], bundle.folder)
    for folder in [*places, *([Path(scored)] if scored else ())]:
        try:
            dataset = Dataset.load(folder)
        except UsageError:
            continue
        files = [file["path"] for file in dataset.record.get("files", ())]
        parts = [dataset.folder / path for path in files if path.startswith("index/")]
        same = dataset.fingerprint == recorded["fingerprint"]
        if same and parts and all(part.is_file() for part in parts):
            return parts
    raise missing
