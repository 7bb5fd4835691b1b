"""Rows made again: an image labelled once more, an example made once more, and compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segflow import storage
from segflow.data.config import restored
from segflow.data.remake import Remade, remake
from segflow.dataset import Dataset
from segflow.errors import JobError, RejectCode, RejectError, UsageError
from segflow.explain.differences import changed_pixels, differences
from segflow.explain.labels import LabelRow
from segflow.explain.sources import SAME
from segflow.explain.tables import find_rows, shown
from segflow.explain.versions import other_versions
from segflow.jobs.output import ShardOutput
from segflow.jobs.run import RUNS_FOLDER, Run, Shard
from segflow.label.config import LabelConfig
from segflow.label.labelling import LabelJob
from segflow.label_map import LabelMap

_ONE = Shard(0, "all", 0, 1)
_KEYS = {"images": None, "areas": "class_id", "rejects": None}


def label_again(found: LabelRow, model_path: str | None) -> dict[str, Any]:
    """Labels an image once more, with the same bundle and settings, in this process.

    Args:
        found: The image, as a run left it.
        model_path: Where the bundle lies now; None: where it lay then.

    Returns:
        `equal`; and `problem` where it cannot be made, or the `differences`, and `why` there may
        be some.
    """
    source = found.source
    if found.table == "images" and source["state"] != SAME:
        return _cannot(f"the image is {source['state']}: {source.get('problem', 'other bytes')}")
    path = model_path or str(found.record["model"]["path"])
    try:
        with storage.scratch_folder() as scratch:
            made = _labelled(found, path, scratch)
    except (JobError, UsageError) as error:
        return _cannot(str(error))
    stored: dict[str, Sequence[Mapping[str, Any]]] = {"images": [], "rejects": []}
    stored |= {"areas": found.areas, found.table: [found.row]}
    changes = [
        change
        for table, rows in stored.items()
        for change in differences(table, rows, made[table], _KEYS[table])
    ]
    return _outcome(changes, found.record.get("versions") or {})


def example_again(dataset: Dataset, key: str, variant: int) -> dict[str, Any]:
    """Makes an example of a dataset once more; as `label_again` says it.

    Raises:
        UsageError: The dataset has no such example, or its shard is damaged.
    """
    try:
        remade = remake(dataset, key, variant)
    except RejectError as error:
        return _cannot(str(error))
    counts = ("class_pixels", "ignored_pixels")
    row = {name: remade.row[name] for name in counts}
    again = {name: getattr(remade.example, name) for name in counts}
    changes = [*_record_changes(remade), *differences("index", [row], [again])]
    return _outcome(changes, dataset.record.get("versions") or {})


def _labelled(found: LabelRow, model_path: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table that the job makes of the image, as the job writes them."""
    record, model = found.record, found.record["model"]
    config = _config(record["config"], model_path, str(folder))
    label_map = LabelMap.from_dict(model["label_map"], f"run {record['run']}")
    job = LabelJob(config, label_map, str(model["fingerprint"]))
    row, output = _planned(found), ShardOutput(_run(record, folder), folder)
    if row["code"]:  # listing alone refused it: it must not be read
        output.reject(row, RejectError(RejectCode(row["code"]), row["message"]))
    else:
        _work(job, row, output)
    made = {table: _written(folder / table) for table in ("images", "areas")}
    return {**made, "rejects": output.rejects}


def _work(job: LabelJob, row: Mapping[str, Any], output: ShardOutput) -> None:
    work = job.open()
    try:
        work(_ONE, [row], output)
    finally:
        work.close()


def _config(recorded: Mapping[str, Any], model: str, output: str) -> LabelConfig:
    """The settings that a run records; what it does not say is as it is by default."""
    kinds = {f.name: f.type for f in fields(LabelConfig) if f.name in recorded}
    named = {name: restored(kind, recorded[name]) for name, kind in kinds.items()}
    return LabelConfig(**{**named, "model": model, "output": output})


def _run(record: Mapping[str, Any], folder: Path) -> Run:
    """A run of one image, with the settings of the recorded one."""
    return Run(
        output=str(folder),
        name=record["run"],
        fingerprint="",
        started=str(record.get("started")),
        groups={_ONE.group: 1},
        listed=1,
        config=record["config"],
        versions={},
        notes={},
    )


def _planned(found: LabelRow) -> Mapping[str, Any]:
    """The row of the plan by which the image was labelled.

    What its size and time of modification were does not matter: its hash has been compared.
    """
    plan = found.folder / RUNS_FOLDER / found.record["run"] / "plan"
    rows = find_rows([plan / name for name in storage.names_in(plan)], "image_uri", found.uri)
    known = {"key": found.uri, **found.row, "code": None, **(rows[0] if rows else {})}
    return {k: v for k, v in known.items() if k not in ("image_bytes", "image_mtime_ns")}


def _written(folder: Path) -> list[dict[str, Any]]:
    """The rows of all files in a folder, without columns that its subfolders' names hold."""
    return [
        row
        for path in sorted(folder.rglob("*.parquet"))
        for row in pq.ParquetFile(path).read().to_pylist()
    ]


def _record_changes(remade: Remade) -> Iterator[dict[str, Any]]:
    """What differs in the stored bytes."""
    for name, made in vars(remade.example.record).items():
        stored = getattr(remade.stored, name)
        if stored == made:
            continue
        where = {"table": "record", "row": None, "column": name}
        if name == "mask":
            yield {**where, "pixels": changed_pixels(stored, made, "png")}
        else:
            yield {**where, **shown({"stored": stored, "made": made})}


def _cannot(problem: str) -> dict[str, Any]:
    return {"equal": False, "problem": f"it cannot be made again: {problem}"}


def _outcome(changes: Sequence[Mapping[str, Any]], versions: Mapping[str, str]) -> dict[str, Any]:
    if not changes:
        return {"equal": True}
    others = other_versions(versions)
    why = (
        f"it was made with {'; '.join(others)}"
        if others
        else "the libraries are the same: another processor, a mask's source that has changed, or "
        "a damaged table (segflow verify)"
    )
    return {"equal": False, "differences": list(changes), "why": why}
