"""One side of a comparison: the labels of a folder that hold now, or those of one run."""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from segflow import outputs
from segflow.errors import UsageError
from segflow.label.current import current_sql
from segflow.label_map import LabelMap

_MEMORY = "512MB"  # beyond it DuckDB spills to disk


@dataclass(frozen=True)
class Side:
    """Labels made by one model.

    Attributes:
        address: As the user gave it.
        folder: The labels' folder.
        records: Commit records of the runs, oldest first.
        is_run: One run is meant, whatever came after it.
    """

    address: str
    folder: Path
    records: Sequence[Mapping[str, Any]]
    is_run: bool

    @classmethod
    def find(cls, address: str) -> "Side":
        """Reads the commit records that an address stands for.

        Raises:
            UsageError: It is neither a folder of labels nor the record of a run, a record is not
                sound, or the run keeps no masks.
        """
        path = Path(address)
        if path.is_file() and path.parent.name == "runs":
            folder = path.parent.parent
            records = outputs.read_records(folder, outputs.LABELS)
            records = [record for record in records if record["run"] == path.stem]
        else:
            folder = path
            if outputs.find_kind(path) != outputs.LABELS:
                raise UsageError(
                    f"{path}: expected a folder that `segflow label` wrote, or one of its runs, "
                    "such as labels/runs/RUN.json"
                )
            records = outputs.read_records(folder, outputs.LABELS)
            newest = records[-1]["model"]["fingerprint"]
            records = [r for r in records if r["model"]["fingerprint"] == newest]
        if any(record["config"]["mask_format"] == "none" for record in records):
            raise UsageError(f"{path}: labelled with --mask-format none, so no pixels to compare")
        return cls(address, folder, records, path != folder)

    @property
    def label_map(self) -> LabelMap:
        """The model's."""
        return LabelMap.from_dict(self.records[-1]["model"]["label_map"], self.address)

    def load(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Makes the table `name` (image_uri, image_sha256, run) and the view `<name>_masks`.

        The table is of the images that count; the view has the masks of those and of others.
        """
        files = [file["path"] for record in self.records for file in record["files"]]
        parts = [str(self.folder / path) for path in files if path.startswith("images/")]
        if not parts:
            raise UsageError(f"{self.address}: no image is labelled in it")
        quoted = ", ".join("'" + glob.escape(part).replace("'", "''") + "'" for part in parts)
        options = "hive_partitioning = true, hive_types = {run: 'VARCHAR'}"
        masks = f"read_parquet([{quoted}], {options})"
        connection.execute(
            f"CREATE VIEW {name}_masks AS SELECT image_uri, run, height, width, mask, mask_format "
            f"FROM {masks}"
        )
        columns = "image_uri, image_sha256, run"
        if self.is_run:
            connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM {masks}")
        else:
            # A buffer for the largest run record is reserved there, though hardly used.
            connection.execute("SET memory_limit = '8GB'")
            connection.execute(current_sql(self.folder))
            connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM current_images")
            connection.execute(f"SET memory_limit = '{_MEMORY}'")
