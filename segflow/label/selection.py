"""The labels that a command is about: those of a folder that hold now, or those of one run."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from segflow import outputs
from segflow.errors import UsageError
from segflow.label.current import current_sql
from segflow.label_map import LabelMap
from segflow.parts import scan

_MEMORY = "512MB"  # beyond it DuckDB spills to disk


@dataclass(frozen=True)
class Selection:
    """Labels made by one model.

    Attributes:
        address: As the user gave it.
        folder: The labels' folder.
        records: Commit records of the runs, oldest first.
        of_model: Those of all runs of their model.
        is_run: One run is meant, whatever came after it.
    """

    address: str
    folder: Path
    records: Sequence[Mapping[str, Any]]
    of_model: Sequence[Mapping[str, Any]]
    is_run: bool

    @classmethod
    def find(cls, address: str, run: str | None = None) -> "Selection":
        """Reads the commit records that an address stands for.

        Args:
            address: A folder of labels, or the record of one of its runs.
            run: Of a folder, the run of that name; None: what its newest model says now.

        Raises:
            UsageError: It is neither a folder of labels nor the record of a run, or a record is
                not sound.
        """
        path = Path(address)
        if path.is_file() and path.parent.name == "runs":
            path, run = path.parent.parent, run or path.stem
        elif outputs.find_kind(path) != outputs.LABELS:
            raise UsageError(
                f"{path}: expected a folder that `segflow label` wrote, or one of its runs, "
                "such as labels/runs/RUN.json"
            )
        records = outputs.read_records(path, outputs.LABELS)
        chosen = records[-1] if run is None else _of_run(records, run, path)
        model = chosen["model"]["fingerprint"]
        ours = [record for record in records if record["model"]["fingerprint"] == model]
        return cls(address, path, ours if run is None else [chosen], ours, is_run=run is not None)

    def require_masks(self, purpose: str) -> None:
        """Refuses labels without masks, of which there are none `purpose`, such as `to export`.

        Raises:
            UsageError: A run kept no masks.
        """
        if any(record["config"]["mask_format"] == "none" for record in self.records):
            raise UsageError(
                f"{self.address}: labelled with --mask-format none, so there are no masks "
                f"{purpose}; label into another folder with --mask-format png"
            )

    @property
    def label_map(self) -> LabelMap:
        """The model's."""
        return LabelMap.from_dict(self.records[-1]["model"]["label_map"], self.address)

    def load(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Makes the table `name` (image_uri, image_sha256, run) and the view `<name>_masks`.

        The table is of the images that count. The view has the masks of those and of others, and
        says with `filename` and `file_row_number` where each lies.

        Raises:
            UsageError: No image is labelled in it, or a part file is gone or damaged.
        """
        parts = table_parts(self.folder, self.records, "images")
        if not parts:
            raise UsageError(f"{self.address}: no image is labelled in it")
        try:
            self._load(connection, name, parts_sql(parts))
        except duckdb.InvalidInputException as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(
                f"{self.address}: its tables cannot be read: {reason}; try segflow verify"
            ) from error

    def _load(self, connection: duckdb.DuckDBPyConnection, name: str, masks: str) -> None:
        connection.execute(
            f"CREATE VIEW {name}_masks AS SELECT image_uri, run, height, width, mask, mask_format, "
            f"filename, file_row_number FROM {masks}"
        )
        columns = "image_uri, image_sha256, run"
        if self.is_run:
            connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM {masks}")
        else:
            with current_views(connection, self.folder):
                connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM current_images")


def table_parts(folder: Path, records: Sequence[Mapping[str, Any]], table: str) -> list[Path]:
    """The part files of a table, as commit records list them.

    Raises:
        UsageError: One is gone.
    """
    files = [file["path"] for record in records for file in record["files"]]
    parts = [folder / path for path in files if path.startswith(f"{table}/")]
    if missing := next((part for part in parts if not part.is_file()), None):
        raise UsageError(f"{missing}: gone, though a record lists it; restore it or make it anew")
    return parts


def parts_sql(parts: Sequence[Path]) -> str:
    """What stands behind FROM to read part files, at least one.

    Columns that only some of them have are null in the others; `filename` and `file_row_number`
    say where a row lies. Of labels, `run` is a column, too.
    """
    table = scan(parts, "union_by_name", "file_row_number")
    if not parts[0].parent.name.startswith("run="):
        return table
    return f"(SELECT *, regexp_extract(filename, 'run=([^/]*)/[^/]*$', 1) AS run FROM {table})"


@contextlib.contextmanager
def current_views(connection: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[None]:
    """Has the views of `current.sql` for the body, which reads them; little memory afterwards."""
    # A buffer for the largest run record is reserved there, though hardly used.
    connection.execute("SET memory_limit = '8GB'")
    try:
        connection.execute(current_sql(folder))
        yield
    finally:
        connection.execute(f"SET memory_limit = '{_MEMORY}'")


def _of_run(records: Sequence[Mapping[str, Any]], run: str, folder: Path) -> Mapping[str, Any]:
    for record in records:
        if record["run"] == run:
            return record
    raise UsageError(
        f"{folder}: no run {run!r} is committed in it; the newest is {records[-1]['run']}"
    )
