"""Where the labels of an image come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segflow import outputs, storage
from segflow.errors import UsageError
from segflow.explain.models import model
from segflow.explain.sources import source
from segflow.explain.tables import find_rows, shown
from segflow.jobs.plan import connect
from segflow.label.labelling import RECORDS_FOLDER
from segflow.label.selection import current_views, table_parts

Row = Mapping[str, Any]


@dataclass(frozen=True)
class LabelRow:
    """The row of an image in a folder of labels, as one run left it.

    Attributes:
        folder: The labels.
        record: The run's.
        table: `images`, or `rejects` where the run refused the image.
        row: Of that table.
        areas: The image's rows of the table `areas`.
        runs: All committed runs that dealt with the image, oldest first.
    """

    folder: Path
    record: Mapping[str, Any]
    table: str
    row: Row
    areas: Sequence[Row]
    runs: Sequence[str]

    @classmethod
    def find(cls, folder: Path, uri: str, run: str | None) -> "LabelRow":
        """Finds the row of an image.

        Args:
            folder: Of labels.
            uri: The image's, as listed, or a path to it.
            run: The run; None: the newest that dealt with it.

        Raises:
            UsageError: No committed run, or not this one, dealt with the image.
        """
        records = outputs.read_records(folder, outputs.LABELS)
        by_run = _by_run(folder, records, uri) or _by_run(folder, records, storage.absolute(uri))
        if not by_run:
            raise UsageError(
                f"--image {uri}: no committed run in {folder} dealt with it; give the address as "
                "in the column image_uri"
            )
        runs = sorted(by_run)
        if run is not None and run not in by_run:
            raise UsageError(
                f"--run {run}: did not deal with {uri}; the runs that did: {', '.join(runs)}"
            )
        chosen = run or runs[-1]
        table, row = by_run[chosen]
        record = next(record for record in records if record["run"] == chosen)
        areas = find_rows(table_parts(folder, [record], "areas"), "image_uri", row["image_uri"])
        return cls(folder, record, table, row, areas, runs)

    @property
    def uri(self) -> str:
        """The image's address, as listed."""
        return str(self.row["image_uri"])

    @property
    def source(self) -> Mapping[str, Any]:
        """The image file, and what became of it."""
        sha256, part = self.row.get("image_sha256"), self.row.get("image_part")
        return source(self.uri, sha256, part, self.record["config"].get("limits"))

    def lineage(self, model_path: str | None) -> dict[str, Any]:
        """All of it, but for making it again.

        Args:
            model_path: Where the bundle lies now; None: where it lay then.
        """
        made_by = self.record["model"]
        path = model_path or str(made_by["path"])
        return {
            "kind": outputs.LABELS.name,
            "folder": storage.absolute(self.folder),
            "table": self.table,
            "row": shown(self.row),
            "areas": self.areas,
            "holds_now": self._holds_now(),
            "runs": self.runs,
            "source": self.source,
            "run": run_facts(
                self.record, self.folder / RECORDS_FOLDER / f"{self.record['run']}.json"
            ),
            "model": model(path, str(made_by["fingerprint"])),
        }

    def _holds_now(self) -> bool:
        """Whether `current.sql` shows this row."""
        if self.table != "images":
            return False
        with (
            storage.scratch_folder() as scratch,
            connect(scratch) as connection,
            current_views(connection, self.folder),
        ):
            row = connection.execute(
                "SELECT run FROM current_images WHERE image_uri = $uri", {"uri": self.uri}
            ).fetchone()
        return row == (self.record["run"],)


def run_facts(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a commit record, which lies at `path`, says of the run that wrote it."""
    return {
        "run": record["run"],
        "started": record.get("started"),
        "record": storage.absolute(path),
        "config": record["config"],
        "versions": record.get("versions"),
    }


def _by_run(
    folder: Path, records: Sequence[Mapping[str, Any]], uri: str
) -> dict[str, tuple[str, Row]]:
    """The table and the row of an image in each run that dealt with it."""
    return {
        row["run"]: (table, row)
        for table in ("images", "rejects")
        for row in find_rows(table_parts(folder, records, table), "image_uri", uri)
    }
