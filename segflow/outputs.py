"""The kinds of output folder, told apart by their commit records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from segflow import storage
from segflow.errors import UsageError


@dataclass(frozen=True)
class Kind:
    """One kind of output folder.

    Attributes:
        name: What people call it.
        records: Its commit records, as a glob below the folder.
        keys: What each record must hold to be read at all.
        format_version: Of the tables and the record; what is written now, and what can be read.
    """

    name: str
    records: str
    keys: tuple[str, ...]
    format_version: int = 1


_TABLES = ("config", "inputs", "files")

DATASET = Kind(
    "dataset",
    "dataset.json",
    (
        *("label_map", "splits", "image_size", "seed", "class_weights", "duplicates", "groups"),
        *_TABLES,
    ),
)
BUNDLE = Kind(
    "model bundle",
    "bundle.json",
    ("label_map", "image_size", "architecture", "training", "metrics", "confusion_matrix", "model"),
)
EVALUATION = Kind(
    "evaluation",
    "metrics.json",
    (
        *("label_map", "model", "data", "examples", "per_class", "confusion_matrix"),
        *("intervals", "by_group", "calibration", *_TABLES),
    ),
    format_version=2,
)
LABELS = Kind(
    "labels",
    "runs/*.json",
    ("run", "model", "classes", "certainty", "gone", *_TABLES),
    format_version=2,
)
RATES = Kind("rate test", "rates.json", ("suggested_learning_rate", "dataset", "config", "files"))
SWEEP = Kind(
    "sweep",
    "sweep.json",
    ("parameters", "trials", "seed", "results", "best", "dataset", "config", "files"),
)

# SQL of the labels that hold, of `labelled` and `left_out` with image_uri and run: each image's
# newest, unless it was left out in a later run. Names of runs begin with the time of their start.
HOLDING = """\
    SELECT image_uri, max(labelled.run) AS run
    FROM labelled LEFT JOIN left_out USING (image_uri) GROUP BY image_uri
    HAVING coalesce(max(labelled.run) > max(left_out.run), true)"""

_KINDS = (DATASET, BUNDLE, EVALUATION, LABELS, RATES, SWEEP)


def find_kind(folder: Path) -> Kind:
    """What kind of output a folder holds.

    Raises:
        UsageError: It is missing, or holds no commit record.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise UsageError(f"{folder}: {what}; expected an output folder of segflow")
    for kind in _KINDS:
        if any(folder.glob(kind.records)):
            return kind
    *names, last = (kind.records for kind in _KINDS)
    raise UsageError(
        f"{folder}: no {', '.join(names)} or {last} in it; expected the output folder of a "
        "finished segflow command"
    )


def read_records(folder: Path, kind: Kind) -> Sequence[dict[str, Any]]:
    """The commit records of a folder, oldest first.

    Raises:
        UsageError: One is not valid JSON, of another format version, lacks what every such record
            has, names files outside the folder, or is another run's than its name says.
    """
    return [_read(path, kind) for path in sorted(folder.glob(kind.records))]


def require_free(output: Path, marker: str, what: str) -> None:
    """Refuses an `--output` that holds other things.

    Args:
        output: The folder; it need not exist.
        marker: What lies in it while its work is unfinished: then it may hold anything.
        what: The kind of work, for the message.

    Raises:
        UsageError: It does, or is no folder.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; give a folder")
    names = storage.names_in(output)
    if names and marker not in names:
        raise UsageError(
            f"--output {output} holds {names[0]!r}, which is not of this {what}; choose a new or "
            "empty folder"
        )


def review_list(folder: Path, record: Mapping[str, Any]) -> Path:
    """Where a label run's review list lies, `review/run=<run>/review.csv`; its page is beside it.

    Args:
        folder: The labels'.
        record: The run's, as `read_records` has checked it.
    """
    return folder / f"review/run={record['run']}/review.csv"


def _read(path: Path, kind: Kind) -> dict[str, Any]:
    try:
        record = storage.read_json(path)
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON: {error}; restore it or make it anew") from error
    if isinstance(record, dict):
        _require_format(path, record.get("format_version", 1), kind)
    missing = [key for key in kind.keys if not isinstance(record, dict) or key not in record]
    if missing:
        raise UsageError(f"{path}: no {missing[0]!r} in it; restore it or make it anew")
    storage.require_inside(path, _listed(record, kind))
    _require_run_name(path, record, kind)
    return dict(record)


def _require_run_name(path: Path, record: Mapping[str, Any], kind: Kind) -> None:
    """Files are looked for, and written, under the name of a run."""
    run, name = record.get("run"), path.stem if kind is LABELS else "the name of a file"
    if kind is LABELS:
        sound = run == name
    else:
        is_name = isinstance(run, str) and run not in ("", "..") and PurePath(run).name == run
        sound = run is None or is_name
    if not sound:
        raise UsageError(
            f"{path}: it calls itself the run {run!r}, expected {name!r}; restore it or make it "
            "anew"
        )


def _listed(record: dict[str, Any], kind: Kind) -> list[dict[str, Any]]:
    """The files that a record names: they must lie beside it."""
    listed = list(record["files"]) if isinstance(record.get("files"), list) else []
    if kind is BUNDLE and isinstance(record["model"], dict):
        listed.append({"path": record["model"].get("file")})
    return listed


def _require_format(path: Path, version: object, kind: Kind) -> None:
    if version != kind.format_version:
        raise UsageError(
            f"{path}: format version {version}, this segflow reads {kind.format_version}; make it "
            "anew in another folder, or use the version of segflow that wrote it"
        )
