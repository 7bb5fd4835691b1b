"""The plan of a label run: what is new or changed since the runs before it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segflow import hashing, outputs, storage
from segflow.data.config import DecodeLimits
from segflow.data.listing import list_files
from segflow.errors import RejectCode, UsageError
from segflow.jobs.launch import Planned
from segflow.jobs.plan import ROWS_AT_ONCE, PlanWriter, connect, write_listing
from segflow.jobs.run import RUNS_FOLDER
from segflow.label.giants import weighed

_LISTING = pa.schema(
    {
        "key": pa.string(),
        "image_uri": pa.string(),
        "image_bytes": pa.int64(),
        "image_mtime_ns": pa.int64(),
        "position": pa.string(),
        "code": pa.string(),
        "message": pa.string(),
    }
)

# Each image as the last run that dealt with it found it, unless it was seen to be gone since:
# what came back, or back to what it once was, is as good as new.
_KNOWN = """
    CREATE VIEW known AS
    SELECT done.* FROM done
    LEFT JOIN (SELECT image_uri, max(run) AS run FROM gone GROUP BY image_uri) AS missed
      USING (image_uri)
    WHERE missed.run IS NULL OR missed.run < done.run
    QUALIFY row_number() OVER (PARTITION BY done.image_uri ORDER BY done.run DESC) = 1
"""

_NEW = """
    SELECT 'all' AS shard_group, image_bytes AS weight, key, image_uri, image_bytes,
           image_mtime_ns, code, message
    FROM read_parquet($listing)
    ANTI JOIN known USING (image_uri, image_bytes, image_mtime_ns)
    ORDER BY position, image_uri
"""

# Once listed by this same source, and no longer.
_GONE = """
    SELECT image_uri FROM known
    SEMI JOIN (SELECT image_uri FROM done WHERE source = $source) USING (image_uri)
    ANTI JOIN (SELECT image_uri FROM read_parquet($listing)) USING (image_uri)
    ORDER BY image_uri
"""


@dataclass(frozen=True)
class LabelPlan:
    """Plans the images of a source that no committed run of the same model has dealt with.

    Attributes:
        source: Folder or glob, absolute, so that an image has one address from anywhere.
        output: The labels' folder.
        model_fingerprint: The bundle's.
        shard_size: Images a shard.
        limits: The caps; what earlier runs refused because of other ones is tried again.
    """

    source: str
    output: Path
    model_fingerprint: str
    shard_size: int
    limits: Mapping[str, Any]

    def __call__(self, folder: Path) -> Planned | None:
        """Writes the plan into the run folder `folder`; None if nothing is new or gone.

        Raises:
            UsageError: There is no such folder, or it holds no image.
        """
        listing = folder / "listing.parquet"
        listed = write_listing(listing, self._rows(), _LISTING)
        if not listed:
            raise UsageError(f"--images {self.source}: no images found; expected at least one")
        with connect(folder / "spill") as connection:
            self._load_history(connection)
            new = connection.sql(_NEW, params={"listing": str(listing)})
            batches = weighed(new.to_arrow_reader(ROWS_AT_ONCE), DecodeLimits(**self.limits))
            summary = PlanWriter(folder, lambda _: self.shard_size).write(batches)
            parameters = {"listing": str(listing), "source": self.source}
            gone = [row[0] for row in connection.execute(_GONE, parameters).fetchall()]
        listing.unlink()
        if not summary.rows and not gone:
            return None
        return Planned(summary, {"gone": gone, "known": listed - summary.rows})

    def _rows(self) -> Iterator[dict[str, Any]]:
        for file in list_files(self.source, "--images"):
            yield {
                "key": file.key,
                "image_uri": file.path,
                "image_bytes": file.bytes,
                "image_mtime_ns": file.mtime_ns,
                "position": f"{hashing.stable_seed('order', file.key):016x}",
                "code": file.code,
                "message": file.message,
            }

    def _load_history(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Makes `done` (what earlier runs dealt with), `gone`, and of both the view `known`."""
        connection.execute(
            "CREATE TABLE done (image_uri VARCHAR, image_bytes BIGINT, image_mtime_ns BIGINT, "
            "run VARCHAR, source VARCHAR); CREATE TABLE gone (image_uri VARCHAR, run VARCHAR)"
        )
        for record in committed_records(self.output):
            if record["model"]["fingerprint"] != self.model_fingerprint:
                continue
            run = record["run"]
            plan = self.output / RUNS_FOLDER / run / "plan"
            parts = [str(plan / name) for name in storage.names_in(plan)]
            if parts:
                connection.execute(
                    "INSERT INTO done SELECT image_uri, image_bytes, image_mtime_ns, $run, $source "
                    "FROM read_parquet($parts)",
                    {"run": run, "source": record["config"]["images"], "parts": parts},
                )
            self._forget_refused(connection, record)
            connection.execute(
                "INSERT INTO gone SELECT unnest($gone::VARCHAR[]), $run",
                {"gone": record["gone"], "run": run},
            )
        connection.execute(_KNOWN)

    def _forget_refused(
        self, connection: duckdb.DuckDBPyConnection, record: Mapping[str, Any]
    ) -> None:
        """Takes out of `done` what a run refused because of caps that are others now."""
        paths = [f["path"] for f in record["files"] if f["path"].startswith("rejects/")]
        if paths and record["config"]["limits"] != self.limits:
            connection.execute(
                "DELETE FROM done WHERE run = $run AND image_uri IN "
                "(SELECT image_uri FROM read_parquet($parts) WHERE code IN $codes)",
                {
                    "run": record["run"],
                    "parts": [str(self.output / path) for path in paths],
                    "codes": [RejectCode.TOO_LARGE, RejectCode.DECODER_TIMEOUT],
                },
            )


def committed_records(output: Path) -> Sequence[Mapping[str, Any]]:
    """The commit records of a labels folder, oldest first.

    Raises:
        UsageError: One is not sound.
    """
    return outputs.read_records(output, outputs.LABELS)
