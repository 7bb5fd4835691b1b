"""The plan of a label run: what is new or changed since the runs before it."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segflow import hashing, outputs
from segflow.data.config import DecodeLimits
from segflow.data.layouts import SourceFile
from segflow.data.listing import storable
from segflow.errors import UsageError
from segflow.jobs.launch import Planned
from segflow.jobs.output import sealed
from segflow.jobs.plan import ROWS_AT_ONCE, PlanWriter, connect, write_listing
from segflow.jobs.run import planned_tables
from segflow.label.config import ChangeDetection
from segflow.label.giants import weighed
from segflow.label.history import compare_bytes, load_history
from segflow.label.sources import find_source
from segflow.label.tables import GONE_SCHEMA

_LISTING = pa.schema(
    {
        "key": pa.string(),
        "image_uri": pa.string(),
        "image_bytes": pa.int64(),
        "image_mtime_ns": pa.int64(),
        "image_part": pa.string(),
        "group": pa.string(),
        "ground_resolution": pa.float64(),
        "position": pa.string(),
        "code": pa.string(),
        "message": pa.string(),
    }
)

_REPEATED = """
    CREATE TABLE repeated AS SELECT image_uri, count(*) AS times FROM read_parquet($listing)
    GROUP BY image_uri HAVING count(*) > 1
"""

# An address is an image's identity in all tables, so one that is listed twice is neither of the
# two. It gets the size of nothing: once it is listed once, it is as good as new.
_LISTED = """
    WITH listed AS (
      SELECT * EXCLUDE (times) REPLACE (
        if(times IS NULL, image_bytes, 0) AS image_bytes,
        if(times IS NULL, image_mtime_ns, 0) AS image_mtime_ns,
        if(times IS NULL, image_part, NULL) AS image_part,
        if(times IS NULL, ground_resolution, NULL) AS ground_resolution,
        if(times IS NULL OR code IS NOT DISTINCT FROM 'outside_root', code, 'duplicate_key')
          AS code,
        if(times IS NULL OR code IS NOT DISTINCT FROM 'outside_root', message,
           'listed ' || times || ' times; list it once') AS message)
      FROM read_parquet($listing) LEFT JOIN repeated USING (image_uri)
    )
"""

# A list that does not say it takes back only what it has said itself: another one's word stands.
_OTHER_RESOLUTION = """(
    l.ground_resolution <> coalesce(k.ground_resolution, 0)
    OR (k.source = $source AND l.ground_resolution IS DISTINCT FROM k.ground_resolution))
"""

# A pack's part holds the pack's size, so a pack that has changed makes all its images new.
_NEW = f"""{_LISTED}
    SELECT 'all' AS shard_group, l.image_bytes AS weight, l.key, image_uri, l.image_bytes,
           l.image_mtime_ns, l.image_part, l."group", l.ground_resolution, l.code, l.message
    FROM listed AS l LEFT JOIN known AS k USING (image_uri)
    WHERE k.image_bytes IS DISTINCT FROM l.image_bytes
       OR k.image_mtime_ns IS DISTINCT FROM l.image_mtime_ns
       OR k.image_part IS DISTINCT FROM l.image_part
       OR {_OTHER_RESOLUTION}
       OR image_uri IN (SELECT image_uri FROM other_bytes)
    ORDER BY l.position, image_uri, l.key
"""

# What only its bytes can make new.
_COMPARABLE = f"""{_LISTED}
    SELECT image_uri, image_bytes, l.image_mtime_ns, k.ground_resolution, k.image_sha256, k.source,
           l.image_mtime_ns <> k.image_mtime_ns AS is_touched
    FROM listed AS l JOIN known AS k USING (image_uri, image_bytes)
    WHERE l.code IS NULL AND l.image_part IS NULL AND k.image_part IS NULL
      AND k.image_sha256 IS NOT NULL AND {_OTHER_RESOLUTION} IS NOT TRUE
"""

# An image belongs to the source whose run dealt with it last: what two sources list would otherwise
# be gone with each run of the one that drops it, and new with each of the other.
_GONE = """
    SELECT image_uri FROM known
    ANTI JOIN (SELECT image_uri FROM read_parquet($listing)) USING (image_uri)
    WHERE source = $source
    ORDER BY image_uri
"""


@dataclass(frozen=True)
class LabelPlan:
    """Plans the images of a source that no committed run of the same model has dealt with.

    Attributes:
        source: Folder, glob, list or pack, absolute, so that an image has one address from
            anywhere.
        output: The labels' folder.
        model_fingerprint: The bundle's.
        shard_size: Images a shard.
        limits: The caps; what earlier runs refused because of other ones is tried again.
        root: Where a list's relative entries start; None: the list's folder.
        detect_changes: Whether an image of equal size is new for another time, or for other bytes.
        tell: Takes a line about what was found.
    """

    source: str
    output: Path
    model_fingerprint: str
    shard_size: int
    limits: Mapping[str, Any]
    root: str | None = None
    detect_changes: ChangeDetection = "time"
    tell: Callable[[str], None] = lambda _: None

    def __call__(self, folder: Path) -> Planned | None:
        """Writes the plan into the run folder `folder`; None if nothing is new or gone.

        Raises:
            UsageError: There is no such source, it is broken, or it holds no image.
        """
        source = find_source(self.source, self.root)
        self.tell(f"source {source.kind}: {source.why}")
        listing = folder / "listing.parquet"
        listed = write_listing(listing, map(_row, source.images()), _LISTING)
        if not listed:
            raise UsageError(f"--images {self.source}: no images found; expected at least one")
        parameters = {"listing": str(listing), "source": self.source}
        with connect(folder / "spill") as connection:
            self._load_history(connection)
            connection.execute(_REPEATED, {"listing": str(listing)})
            if self.detect_changes == "hash":
                self._compare_bytes(connection, folder, parameters)
            new = connection.sql(_NEW, params=parameters).to_arrow_reader(ROWS_AT_ONCE)
            batches = weighed(new, DecodeLimits(**self.limits))
            summary = PlanWriter(folder, lambda _: self.shard_size).write(batches)
            gone = connection.sql(_GONE, params=parameters).to_arrow_reader(ROWS_AT_ONCE)
            files = _write_gone(folder, gone)
        listing.unlink()
        count = sum(file["rows"] for file in files)
        if not summary.rows and not count:
            return None
        return Planned(summary, {"gone": count, "known": listed - summary.rows}, files)

    def _load_history(self, connection: duckdb.DuckDBPyConnection) -> None:
        records = committed_records(self.output)
        ours = [r for r in records if r["model"]["fingerprint"] == self.model_fingerprint]
        hashes = self.detect_changes == "hash"
        load_history(connection, self.output, ours, self.limits, hashes=hashes)

    def _compare_bytes(
        self, connection: duckdb.DuckDBPyConnection, run: Path, parameters: Mapping[str, Any]
    ) -> None:
        if count := compare_bytes(connection, _COMPARABLE, parameters, run):
            self.tell(f"known bytes: {count} images have another time alone, and are not new")


def _write_gone(run: Path, batches: pa.RecordBatchReader) -> list[dict[str, Any]]:
    """Writes the addresses that are gone, some in memory at once; no file where there is none."""
    final, planned = f"gone/run={run.name}/part-00000.parquet", planned_tables(run)
    rows = (row for batch in batches for row in batch.to_pylist())
    count = write_listing(planned / final, rows, GONE_SCHEMA)
    if count:
        return [sealed(planned, final, count)]
    shutil.rmtree(planned)
    return []


def _row(source: SourceFile) -> dict[str, Any]:
    """A row of the listing."""
    file, key = source.file, storable(source.key)
    return {
        "key": key,
        "image_uri": storable(file.path),
        "image_bytes": file.bytes,
        "image_mtime_ns": file.mtime_ns,
        "image_part": file.part,
        "group": source.group and storable(source.group),
        "ground_resolution": source.ground_resolution,
        "position": f"{hashing.stable_seed('order', source.near or key):016x}",
        "code": file.code,
        "message": file.message and storable(file.message),
    }


def committed_records(output: Path) -> Sequence[Mapping[str, Any]]:
    """The commit records of a labels folder, oldest first.

    Raises:
        UsageError: One is not sound.
    """
    return outputs.read_records(output, outputs.LABELS)
