"""The review list: the images of a run that the model is least sure of, for a person to look at.

They are ranked by mean entropy, a score of uncertainty sampling (Settles 2009, "Active Learning
Literature Survey", 3.1): as a rule, correcting them teaches a model most. Images that look alike
are uncertain alike, and would fill the list; so no group of images gets more than twice its even
share of it, unless the others do not fill it. The groups are those of the list of images; where it
says none, images of one group have the same largest class.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from segflow import outputs, storage
from segflow.jobs.plan import connect
from segflow.parts import scan

_COLUMNS = (
    *("rank", "image_uri", "image_sha256", "height", "width", "mean_entropy", "mean_confidence"),
    *("uncertain_fraction", "largest_class", "doubtful_class", "reason", "part"),
)

# A class id is below 65,536: of classes with equally many pixels the first counts as the largest.
_CANDIDATES = """
    CREATE TABLE candidates AS
    WITH largest AS (
      SELECT image_uri, arg_max(class_id, pixels * 65536 - class_id) AS largest_class
      FROM areas GROUP BY image_uri
    ), grouped AS (
      SELECT image_uri, mean_entropy, largest_class,
             coalesce("group", largest_class::VARCHAR) AS stratum
      FROM images JOIN largest USING (image_uri)
    )
    SELECT *, row_number() OVER (
      PARTITION BY stratum ORDER BY mean_entropy DESC, image_uri
    ) AS place
    FROM grouped
"""

_CHOSEN = """
    CREATE TABLE chosen AS
    SELECT image_uri, largest_class FROM candidates
    CROSS JOIN (SELECT count(DISTINCT stratum) AS strata FROM candidates)
    ORDER BY place > ceil(2 * {count} / strata), mean_entropy DESC, image_uri
    LIMIT {count}
"""

# Most of an image's doubt is in the class with most pixels times what they lack in confidence.
_LISTED = """
    WITH doubt AS (
      SELECT image_uri, class_id AS doubtful_class, mean_confidence AS doubtful_confidence
      FROM areas SEMI JOIN chosen USING (image_uri)
      WHERE mean_confidence IS NOT NULL
      QUALIFY row_number() OVER (
        PARTITION BY image_uri ORDER BY pixels * (1 - mean_confidence) DESC, class_id) = 1
    )
    SELECT image_uri, image_sha256, height, width, mean_entropy, mean_confidence,
           uncertain_fraction, largest_class, doubtful_class, doubtful_confidence, filename
    FROM images JOIN chosen USING (image_uri) LEFT JOIN doubt USING (image_uri)
    ORDER BY mean_entropy DESC, image_uri
"""


def write_review(output: Path, record: Mapping[str, Any], count: int) -> None:
    """Writes `review/run=<run>/review.csv` of a committed run, unless it would be empty.

    Args:
        output: The labels' folder.
        record: The run's.
        count: Images to list.
    """
    listed = least_certain(output, record, count)
    if listed:
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
        storage.put(outputs.review_list(output, record), text.getvalue().encode())


def least_certain(output: Path, record: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The rows of a run's review list, least certain first; DuckDB reads the parts, out of core.

    Args:
        output: The labels' folder.
        record: The run's.
        count: At most so many.
    """
    parts = {
        table: [
            output.absolute() / f["path"]
            for f in record["files"]
            if f["path"].startswith(f"{table}/")
        ]
        for table in ("images", "areas")
    }
    if not parts["images"] or not count:
        return []
    with storage.scratch_folder() as spill, connect(spill) as connection:
        for table, paths in parts.items():
            connection.execute(f"CREATE VIEW {table} AS FROM {scan(paths)}")
        connection.execute(_CANDIDATES)
        connection.execute(_CHOSEN.format(count=count))
        rows = _dictionaries(connection.execute(_LISTED))
    return [_row(rank, row, output, record) for rank, row in enumerate(rows, 1)]


def _dictionaries(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _row(
    rank: int, found: Mapping[str, Any], output: Path, record: Mapping[str, Any]
) -> dict[str, Any]:
    names = {entry["id"]: entry["name"] for entry in record["classes"]}
    row = {
        **found,
        "rank": rank,
        "largest_class": names[found["largest_class"]],
        "doubtful_class": names.get(found["doubtful_class"]),
        "part": Path(found["filename"]).relative_to(output.absolute()).as_posix(),
    }
    row["reason"] = _reason(row, record["config"]["uncertain_below"])
    return {name: row[name] for name in _COLUMNS}


def _reason(row: Mapping[str, Any], limit: float) -> str:
    share = row["uncertain_fraction"]
    where = f"{100 * share:.3g} % of its pixels have" if share else "no pixel has"
    text = f"{where} a confidence below {limit:g}"
    if row["doubtful_class"] is None:
        return text
    mean = f"mean confidence {row['doubtful_confidence']:.2f}"
    return f"{text}; most doubt is in {row['doubtful_class']} ({mean})"
