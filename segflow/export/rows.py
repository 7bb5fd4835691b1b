"""Which images are exported, under which number and name; and their masks, some at a time."""

import itertools
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segflow import parts
from segflow.data import mask_formats
from segflow.errors import JobError, UsageError
from segflow.export.names import MARK, safe_name, same_name, suffix
from segflow.jobs.plan import ROWS_AT_ONCE, write_listing
from segflow.label.selection import Selection, parts_sql, table_parts
from segflow.label_map import LabelMap

_MASKS_AT_ONCE = 64
_PIXELS_AT_ONCE = 1 << 25
# What decoding a broken mask leads to.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, struct.error, zlib.error)

_LISTING = pa.schema(
    {
        "id": pa.int64(),
        "image_uri": pa.string(),
        "name": pa.string(),
        "same_name": pa.string(),
    }
)
_PART = "image_part"  # where in a pack; tables of images that are all files may lack it
_COLUMNS = ("image_sha256", "height", "width", "mask", "mask_format", _PART)

# An image's number is where it stands among all rows of the model's runs when it comes up first,
# so later runs change no number.
_NUMBERED = """
    WITH numbered AS (
      SELECT row_number() OVER (ORDER BY run, filename, file_row_number) AS number, image_uri, run
      FROM {rows}
    )
    SELECT min(number) AS id, image_uri, arg_min(run, number) AS run
    FROM numbered GROUP BY image_uri ORDER BY id
"""

# Of several of one name, the image with the lowest number has it to itself, whether or not it is
# exported.
_NAMED = """
    CREATE TABLE named AS
    WITH names AS (
      SELECT id, image_uri,
             if(row_number() OVER (PARTITION BY same_name ORDER BY id) = 1,
                name, name || '{mark}' || id) AS name
      FROM read_parquet({listing})
    )
    SELECT id, image_uri, run, filename AS part, file_row_number AS place, name
    FROM names JOIN chosen USING (image_uri) JOIN chosen_masks USING (image_uri, run)
"""

# A list's relative entries start from its folder, as everywhere.
_WANTED = """
    CREATE TABLE wanted AS
    WITH entries AS (SELECT {column} AS entry FROM {table} WHERE {column} IS NOT NULL)
    SELECT entry AS image_uri FROM entries UNION SELECT {folder} || '/' || entry FROM entries
"""

_TABLES = {
    ".csv": "read_csv({path}, header = true, all_varchar = true)",
    ".jsonl": "read_json({path}, format = 'newline_delimited')",
    ".ndjson": "read_json({path}, format = 'newline_delimited')",
    ".parquet": "read_parquet({path})",
}


@dataclass(frozen=True)
class Row:
    """An image that is exported, with its mask as it is stored.

    Attributes:
        id: From 1; stays the image's own in later exports.
        name: Relative path of its files, without extension; no two images share one.
        uri: As listed.
        run: That labelled it.
        part: The part file that holds its row.
        stored: The columns of the table of images that are needed.
    """

    id: int
    name: str
    uri: str
    run: str
    part: str
    stored: Mapping[str, Any]

    @property
    def file_name(self) -> str:
        """What the image's own file is called in the tree."""
        return f"{self.name}{suffix(self.uri)}"

    @property
    def image_part(self) -> str | None:
        """Where the image lies in a pack; None: it is a file of its own."""
        return self.stored.get(_PART)

    @property
    def pixels(self) -> int:
        """Of the mask."""
        return int(self.stored["height"] * self.stored["width"])

    def mask(self, label_map: LabelMap) -> NDArray[Any]:
        """Class ids, `label_map.dtype` [height, width].

        Raises:
            JobError: The stored mask is damaged, of another size, or holds no class's id.
        """
        size = self.stored["height"], self.stored["width"]
        stored = self.stored["mask"], self.stored["mask_format"]
        try:
            found = mask_formats.size_of(*stored)
            mask = np.concatenate(list(mask_formats.bands(*stored))) if found == size else None
        except _DAMAGE as error:
            raise JobError(f"{self.uri}: its mask in {self.part} is damaged: {error}") from error
        if mask is None:
            raise JobError(f"{self.uri}: its mask in {self.part} is {found}, not {size}")
        if mask.max(initial=0) >= label_map.num_classes:
            raise JobError(f"{self.uri}: its mask in {self.part} has an id that no class has")
        return mask.astype(label_map.dtype, copy=False)


def choose(
    connection: duckdb.DuckDBPyConnection,
    selection: Selection,
    wanted: Path | None,
    spill: Path,
) -> int:
    """Numbers and names the images that are exported.

    Args:
        connection: Gets the table `named`, which `stream` reads.
        selection: The labels.
        wanted: A list of images; None: all.
        spill: Folder for a passing file.

    Returns:
        How many they are.

    Raises:
        UsageError: No image is labelled, or the list cannot be read or names none.
    """
    selection.load(connection, "chosen")
    records = selection.of_model
    sources = {record["run"]: str(record["config"]["images"]) for record in records}
    listing = spill / "listing.parquet"
    rows = parts_sql(table_parts(selection.folder, records, "images"))
    numbered = connection.sql(_NUMBERED.format(rows=rows)).to_arrow_reader(ROWS_AT_ONCE)
    write_listing(listing, _listed(numbered, sources), _LISTING)
    connection.execute(_NAMED.format(listing=parts.sql_path(listing), mark=MARK))
    listing.unlink()
    images = _count(connection)
    if not images:
        raise UsageError(f"{selection.address}: no image is labelled in it")
    if wanted is not None:
        _keep_listed(connection, wanted)
        images = _count(connection)
    return images


def stream(connection: duckdb.DuckDBPyConnection) -> Iterator[list[Row]]:
    """The chosen images with their masks, part file after part file; a few are in memory.

    Raises:
        JobError: A part file is damaged.
    """
    chosen = connection.sql("SELECT * FROM named ORDER BY part, place").to_arrow_reader(
        ROWS_AT_ONCE
    )
    rows: list[Row] = []
    pixels = 0
    for row in _with_masks(row for batch in chosen for row in batch.to_pylist()):
        rows.append(row)
        pixels += row.pixels
        if len(rows) >= _MASKS_AT_ONCE or pixels >= _PIXELS_AT_ONCE:
            yield rows
            rows, pixels = [], 0
    if rows:
        yield rows


def _listed(numbered: pa.RecordBatchReader, sources: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for batch in numbered:
        for row in batch.to_pylist():
            name = safe_name(row["image_uri"], sources[row["run"]])
            yield {
                "id": row["id"],
                "image_uri": row["image_uri"],
                "name": name,
                "same_name": same_name(name),
            }


def list_table(path: Path) -> str:
    """What stands behind FROM to read a list of images.

    Raises:
        UsageError: There is no such file, or it is no list by its name.
    """
    table = _TABLES.get(path.suffix.lower())
    if table is None or not path.is_file():
        raise UsageError(
            f"{path}: expected a file, LIST.csv, .jsonl or .parquet with a column "
            "image_uri or image"
        )
    return table.format(path=parts.sql_path(path))


def _keep_listed(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    table = list_table(path)
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
        names = [column[0] for column in described]
        column = next((name for name in ("image_uri", "image") if name in names), None)
        if column is None:
            raise UsageError(
                f"{path}: expected a column image_uri or image, found {', '.join(names)}"
            )
        folder = "'" + str(path.absolute().parent).replace("'", "''") + "'"
        connection.execute(_WANTED.format(column=column, table=table, folder=folder))
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path}: cannot be read: {reason}") from error
    connection.execute("DELETE FROM named WHERE image_uri NOT IN (SELECT image_uri FROM wanted)")
    if not _count(connection):
        raise UsageError(f"{path}: names no image that is labelled here")


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    ((count,),) = connection.execute("SELECT count(*) FROM named").fetchall()
    return int(count)


def _with_masks(chosen: Iterator[Mapping[str, Any]]) -> Iterator[Row]:
    for part, rows in itertools.groupby(chosen, key=itemgetter("part")):
        by_place = {row["place"]: row for row in rows}
        for place, stored in parts.rows_at(part, by_place, _COLUMNS):
            yield _row(by_place[place], stored)


def _row(named: Mapping[str, Any], stored: Mapping[str, Any]) -> Row:
    return Row(named["id"], named["name"], named["image_uri"], named["run"], named["part"], stored)
