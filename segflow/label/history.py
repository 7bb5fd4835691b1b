"""What earlier runs have dealt with, in tables of DuckDB, which spill to disk."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segflow import hashing, storage
from segflow.data.decode import PERMANENT_ERRORS
from segflow.errors import RejectCode
from segflow.jobs.cores import available_cores
from segflow.jobs.plan import ROWS_AT_ONCE, connect, write_listing
from segflow.jobs.run import RUNS_FOLDER
from segflow.parts import escaped

_UNCHANGED = "unchanged.parquet"  # in a run's folder: what its plan found to be known bytes

# Each image as the last run that dealt with it found it, unless it was seen to be gone since:
# what came back, or back to what it once was, is as good as new.
_TABLES = """
    CREATE TABLE done (
      image_uri VARCHAR, image_bytes BIGINT, image_mtime_ns BIGINT, image_part VARCHAR,
      ground_resolution DOUBLE, image_sha256 VARCHAR, run VARCHAR, source VARCHAR);
    CREATE TABLE gone (image_uri VARCHAR, run VARCHAR);
    CREATE TABLE other_bytes (image_uri VARCHAR);
    CREATE VIEW known AS
    SELECT done.* FROM done
    LEFT JOIN (SELECT image_uri, max(run) AS run FROM gone GROUP BY image_uri) AS missed
      USING (image_uri)
    WHERE missed.run IS NULL OR missed.run < done.run
    QUALIFY row_number() OVER (PARTITION BY done.image_uri ORDER BY done.run DESC) = 1;
"""

_PLANNED = """
    INSERT INTO done
    SELECT image_uri, image_bytes, image_mtime_ns, image_part, ground_resolution,
           {sha256}, $run, $source
    FROM read_parquet($plan) {images}
"""
_WITH_IMAGES = """
    LEFT JOIN (SELECT image_uri, image_sha256 FROM read_parquet($images)) USING (image_uri)
"""

_FOUND_UNCHANGED = """
    INSERT INTO done
    SELECT image_uri, image_bytes, image_mtime_ns, NULL, ground_resolution, image_sha256,
           $run, source
    FROM read_parquet($unchanged)
"""

_UNCHANGED_SCHEMA = pa.schema(
    {
        "image_uri": pa.string(),
        "image_bytes": pa.int64(),
        "image_mtime_ns": pa.int64(),
        "ground_resolution": pa.float64(),
        "image_sha256": pa.string(),
        "source": pa.string(),
    }
)


def load_history(
    connection: duckdb.DuckDBPyConnection,
    output: Path,
    records: Sequence[Mapping[str, Any]],
    limits: Mapping[str, Any],
    *,
    hashes: bool,
) -> None:
    """Makes `done` (what runs have dealt with), `gone`, and of both the view `known`.

    And the table `other_bytes`, which only `compare_bytes` fills.

    Args:
        connection: Where.
        output: The labels' folder.
        records: Commit records of the runs.
        limits: The caps now; what was refused because of other ones is not known.
        hashes: Whether `known` must have the SHA-256 of what was labelled.
    """
    connection.execute(_TABLES)
    for record in records:
        said = {"run": record["run"], "source": record["config"]["images"]}
        folder = output / RUNS_FOLDER / record["run"]
        _add_planned(connection, folder, said, _parts(output, record, "images") if hashes else [])
        if (folder / _UNCHANGED).is_file():
            _add_unchanged(connection, folder)
        if record["config"]["limits"] != limits:
            _forget_refused(connection, output, record)
        if gone := _parts(output, record, "gone"):
            connection.execute(
                "INSERT INTO gone SELECT image_uri, $run FROM read_parquet($gone)",
                {"gone": gone, "run": record["run"]},
            )


def labelled_between(output: Path, record: Mapping[str, Any], above: int, most: int) -> str | None:
    """An image that a run has labelled, of more pixels than `above` and `most` of them at most."""
    images = _parts(output, record, "images")
    if not images:
        return None
    with storage.scratch_folder() as spill, connect(spill) as connection:
        found = connection.execute(
            "SELECT image_uri FROM read_parquet($images) WHERE height::BIGINT * width > $above "
            "AND height::BIGINT * width <= $most ORDER BY image_uri LIMIT 1",
            {"images": images, "above": above, "most": most},
        ).fetchone()
    return None if found is None else str(found[0])


def _add_planned(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    said: Mapping[str, Any],
    images: Sequence[str],
) -> None:
    plan = folder / "plan"
    parts = [escaped(plan / name) for name in storage.names_in(plan)]
    if parts and images:
        sql = _PLANNED.format(sha256="image_sha256", images=_WITH_IMAGES)
        connection.execute(sql, {**said, "plan": parts, "images": images})
    elif parts:
        sql = _PLANNED.format(sha256="NULL", images="")
        connection.execute(sql, {**said, "plan": parts})


def _add_unchanged(connection: duckdb.DuckDBPyConnection, run: Path) -> None:
    parameters = {"run": run.name, "unchanged": [escaped(run / _UNCHANGED)]}
    connection.execute(_FOUND_UNCHANGED, parameters)


def compare_bytes(
    connection: duckdb.DuckDBPyConnection,
    comparable: str,
    parameters: Mapping[str, Any],
    run: Path,
) -> int:
    """Reads images, and adds those whose bytes were not labelled to `other_bytes`.

    Those of another time whose bytes were are added to `done`, and kept in the run's folder: runs
    that go by the time need not label them again.

    Files are read in chunks, on all cores; some rows are in memory at once.

    Args:
        connection: With the tables of `load_history`.
        comparable: SQL of the images to read: the columns of `_UNCHANGED_SCHEMA`, the hash as it
            was, and `is_touched`: whether its time is another.
        parameters: Of that SQL.
        run: Folder of the run that is being planned.

    Returns:
        How many have another time and the same bytes.

    Raises:
        OSError: The storage failed in a way that may pass.
    """
    # The query's result would end with the next statement of its connection.
    with connection.cursor() as cursor:
        rows = _compared(cursor.execute(comparable, parameters), connection)
        count = write_listing(run / _UNCHANGED, rows, _UNCHANGED_SCHEMA)
    _add_unchanged(connection, run)
    return count


def _compared(
    comparable: duckdb.DuckDBPyConnection, connection: duckdb.DuckDBPyConnection
) -> Iterator[dict[str, Any]]:
    """The rows to note; images of other bytes go to their table."""
    names = (*_UNCHANGED_SCHEMA.names, "is_touched")
    with ThreadPoolExecutor(available_cores()) as pool:
        while rows := comparable.fetchmany(ROWS_AT_ONCE):
            named = [dict(zip(names, row, strict=True)) for row in rows]
            found = list(pool.map(_sha256, (row["image_uri"] for row in named)))
            pairs = list(zip(named, found, strict=True))
            others = [row["image_uri"] for row, sha256 in pairs if sha256 != row["image_sha256"]]
            connection.execute(
                "INSERT INTO other_bytes SELECT unnest($others::VARCHAR[])", {"others": others}
            )
            for row, sha256 in pairs:
                if row.pop("is_touched") and sha256 == row["image_sha256"]:
                    yield row


def _sha256(path: str) -> str | None:
    """Of a file's bytes; None where they cannot be read, of which its label will say more."""
    try:
        return hashing.sha256_file(path)
    except OSError as error:
        if error.errno not in PERMANENT_ERRORS:
            raise
        return None


def _forget_refused(
    connection: duckdb.DuckDBPyConnection, output: Path, record: Mapping[str, Any]
) -> None:
    """Takes out of `done` what a run refused because of caps that are others now."""
    if rejects := _parts(output, record, "rejects"):
        connection.execute(
            "DELETE FROM done WHERE run = $run AND image_uri IN "
            "(SELECT image_uri FROM read_parquet($rejects) WHERE code IN $codes)",
            {
                "run": record["run"],
                "rejects": rejects,
                "codes": [RejectCode.TOO_LARGE, RejectCode.DECODER_TIMEOUT],
            },
        )


def _parts(output: Path, record: Mapping[str, Any], table: str) -> list[str]:
    paths = (file["path"] for file in record["files"])
    return [escaped(output / path) for path in paths if path.startswith(f"{table}/")]
