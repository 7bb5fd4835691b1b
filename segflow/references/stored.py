"""What an evaluation counted in each image, kept in the bundle of the model that it scored.

BUNDLE/references/
  <run>.parquet   pixels by image, true and predicted class; the rows of an image lie together
  <run>.json      what was scored and how, and the table's hash; written last: the commit

`<run>` is the evaluation's. The bundle's fingerprint, which says what the model is, knows nothing
of them.
"""

import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segflow import hashing, storage
from segflow.dataset import check_file
from segflow.errors import UsageError

FOLDER = "references"
FORMAT_VERSION = 1
IMAGES_AT_ONCE = 64  # a matrix of 150 classes takes 180 kB
_ROWS_AT_ONCE = 1 << 14
_KEYS = {"model_fingerprint", "started", "data", "size", "tta", "pixels"}

SCHEMA = pa.schema(
    [
        pa.field("image_sha256", pa.string(), metadata={"description": "of the image file"}),
        pa.field("truth", pa.int32(), metadata={"description": "class id"}),
        pa.field("prediction", pa.int32(), metadata={"description": "class id"}),
        pa.field("pixels", pa.int64(), metadata={"description": "not ignored; never 0"}),
    ]
)


@dataclass(frozen=True)
class Reference:
    """A reference whose record has been read, and whose table is the one that it names.

    Attributes:
        path: Of the record.
        record: The whole of it.
    """

    path: Path
    record: Mapping[str, Any]

    @classmethod
    def load(cls, path: str | Path) -> "Reference":
        """Reads a record and compares the table beside it with it.

        Raises:
            UsageError: The record is not sound, or the table is not the recorded one.
        """
        path = Path(path)
        try:
            record = storage.read_json(path)
            if record["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format version {record['format_version']}")
            if missing := _KEYS - record.keys():
                raise ValueError(f"no {' or '.join(sorted(missing))}")
            _require_types(record)
            table = record["table"]
            size, sha256 = int(table["bytes"]), str(table["sha256"])
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{path}: not a reference that this segflow reads: {error}; restore it, or remove "
                "it and evaluate again"
            ) from error
        # By its name, not by one that the record might give.
        try:
            check_file(path.with_suffix(".parquet"), size, sha256)
        except OSError as error:
            raise UsageError(f"{path}: its table cannot be read: {error}") from error
        return cls(path, record)

    @property
    def images(self) -> int:
        """How many images with a pixel that counts there are."""
        images: int = self.record["images"]
        return images

    @property
    def sha256(self) -> str:
        """Of the table."""
        return str(self.record["table"]["sha256"])

    def matrices(self, classes: int) -> Iterator[NDArray[np.int64]]:
        """The images' confusion matrices, some at a time.

        Args:
            classes: How many classes n the model has.

        Yields:
            int64 [k, n, n]: pixels by truth (rows) and prediction (columns).

        Raises:
            UsageError: The table is not one of counts of these classes, or, once all are given,
                of as many images as the record says.
        """
        block, count, images = _empty(classes), 0, 0
        for _, cells in itertools.groupby(self._rows(classes), itemgetter(0)):
            for _, truth, prediction, pixels in cells:
                block[count, truth, prediction] = pixels
            count, images = count + 1, images + 1
            if count == IMAGES_AT_ONCE:
                yield block
                block, count = _empty(classes), 0
        if count:
            yield block[:count]
        if images != self.images:
            raise UsageError(
                f"{self.path}: {images} images found, the record says {self.images}; evaluate again"
            )

    def _rows(self, classes: int) -> Iterator[tuple[str, int, int, int]]:
        path = self.path.with_suffix(".parquet")
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(
                    _ROWS_AT_ONCE, columns=SCHEMA.names, use_threads=False
                ):
                    _require_counts(batch, classes)
                    columns = [batch.column(name).to_pylist() for name in SCHEMA.names]
                    yield from zip(*columns, strict=True)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: not a table of counts: {error}; evaluate again") from error


def record_path(bundle: Path, run: str) -> Path:
    """Where the reference of an evaluation's run lies in a bundle."""
    return bundle / FOLDER / f"{run}.json"


def record_paths(bundle: Path) -> list[Path]:
    """The records of all references of a bundle, oldest first.

    Raises:
        UsageError: What lies there is no folder, or cannot be read.
    """
    folder = bundle / FOLDER
    try:
        return [folder / name for name in storage.names_in(folder) if name.endswith(".json")]
    except OSError as error:
        raise UsageError(f"{folder}: no references can be read: {error}") from error


def put(path: Path, table: Path, record: Mapping[str, Any]) -> None:
    """Writes a reference; once its record is there it is complete.

    Args:
        path: As `record_path` gives it.
        table: With `SCHEMA`; it is copied.
        record: All that is to be said of it but for the table's hash.

    Raises:
        OSError: The bundle cannot be written to.
    """
    destination = path.with_suffix(".parquet")
    with storage.written_whole(destination) as unfinished:
        shutil.copyfile(table, unfinished)
    described = {
        "file": destination.name,
        "bytes": table.stat().st_size,
        "sha256": hashing.sha256_file(table),
    }
    storage.put(
        path, storage.to_json({"format_version": FORMAT_VERSION, **record, "table": described})
    )
    storage.remove_scraps(path.parent)  # of writers that were killed


def _require_types(record: Mapping[str, Any]) -> None:
    """Raises `ValueError` where what is counted, compared or shown later is something else."""
    for name in ("images", "pixels"):
        if type(record[name]) is not int or record[name] < 1:
            raise ValueError(f"{name} is {record[name]!r}")
    if type(record.get("trained_on")) not in (int, type(None)):
        raise ValueError(f"trained_on is {record['trained_on']!r}")
    for name in ("model_fingerprint", "started", "size", "tta"):
        if not isinstance(record[name], str):
            raise ValueError(f"{name} is {record[name]!r}")
    if not isinstance(record["data"], dict):
        raise ValueError(f"data is {record['data']!r}")


def _empty(classes: int) -> NDArray[np.int64]:
    return np.zeros((IMAGES_AT_ONCE, classes, classes), np.int64)


def _require_counts(batch: pa.RecordBatch, classes: int) -> None:
    """Raises `ValueError` unless a batch holds class ids and pixels."""
    for name, end in (("truth", classes), ("prediction", classes), ("pixels", 1 << 62)):
        values = batch.column(name).to_numpy()
        if values.size and not 0 <= values.min() <= values.max() < end:
            raise ValueError(f"{name} of {values.min()} to {values.max()}")
