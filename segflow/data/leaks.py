"""Leaks between splits: copies of an image, near copies, and groups that straddle.

Everything here asks a DuckDB connection that has a table or view `sources`, a row per source image:
`key`, `split`, `"group"`, `image_uri`, `image_sha256`, and `image_phash`, which is null unless near
duplicates are looked for. DuckDB groups, joins and spills to disk; Python holds the near duplicates
alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from segflow.parts import escaped

HASH_BITS = 64
_PAIRS_AT_ONCE = 1024
_LISTED_GROUPS = 100  # straddling groups that a commit record names


def one_each(index: str) -> str:
    """SQL of an index's rows, one for each source image: of its tiles, the first that is stored."""
    source = (
        "CASE WHEN tile_row IS NULL THEN key ELSE regexp_replace(key, '@r[0-9]+c[0-9]+$', '') END"
    )
    first = f"row_number() OVER (PARTITION BY {source} ORDER BY tile_row, tile_column) = 1"
    return f"(SELECT * FROM {index} WHERE variant = 0 QUALIFY {first})"


def load_sources(connection: DuckDBPyConnection, parts: Sequence[Path]) -> None:
    """Makes `sources` of the part files of a dataset's index; a picture's first tile is it."""
    connection.execute(
        'CREATE TABLE sources AS SELECT key, split, "group", image_uri, image_sha256, image_phash '
        f"FROM {one_each('read_parquet($parts, hive_partitioning = false)')}",
        {"parts": [escaped(part) for part in parts]},
    )


def find_copies(
    connection: DuckDBPyConnection, splits: Sequence[str], distance: int | None
) -> None:
    """Makes the table `copies`: every image of a set of more than one.

    Its columns are those of `sources`, `set`, `rank` (from 1: which one to keep first) and
    `distance` (in bits, from the set's first image). Images of a later split rank first: what
    training is judged by stays, and its copies leave training.

    Args:
        connection: Has `sources`.
        splits: In their usual order: train, val, test.
        distance: Of how many bits the perceptual hashes in a set may differ from that of its first
            image; None: a set is one file's exact copies.
    """
    if distance is None:
        sets = "SELECT *, image_sha256 AS set, 0 AS distance FROM sources"
    else:
        _find_leaders(connection, splits, distance)
        sets = (
            "SELECT s.*, l.leader AS set, bit_count(xor(l.hash, l.leader))::INT AS distance "
            "FROM sources AS s JOIN leaders AS l ON l.hash = ('0x' || s.image_phash)::UBIGINT"
        )
    connection.execute(
        "CREATE OR REPLACE TABLE copies AS SELECT *, row_number() OVER (PARTITION BY set "
        "ORDER BY distance > 0, list_position($splits, split) DESC, key) AS rank "
        f"FROM ({sets}) WHERE set IS NOT NULL QUALIFY count(*) OVER (PARTITION BY set) > 1",
        {"splits": list(splits)},
    )


def count_copies(connection: DuckDBPyConnection) -> dict[str, int]:
    """Sums up `copies`: sets, images in them, and sets that lie in more than one split."""
    ((sets, images, across),) = connection.execute(
        "SELECT count(*), coalesce(sum(images), 0)::BIGINT, "
        "count(*) FILTER (splits > 1) FROM (SELECT count(*) AS images, "
        "count(DISTINCT split) AS splits FROM copies GROUP BY set)"
    ).fetchall()
    return {"sets": sets, "images": images, "across_splits": across}


def keep_near_copies(connection: DuckDBPyConnection) -> None:
    """Takes sets whose images are all one file out of `copies`."""
    connection.execute(
        "DELETE FROM copies WHERE set IN "
        "(SELECT set FROM copies GROUP BY set HAVING count(DISTINCT image_sha256) = 1)"
    )


def summarize(
    connection: DuckDBPyConnection, splits: Sequence[str], distance: int | None
) -> dict[str, Any]:
    """What a commit record says of a dataset's copies and groups.

    Args:
        connection: Has `sources`.
        splits: In their usual order.
        distance: As in `find_copies`; None: near duplicates were not looked for.

    Returns:
        `duplicates`: {`exact`, `near`} as `count_copies` counts, `near` with its `distance`, or
        None; `groups`: as `straddling_groups` says.
    """
    find_copies(connection, splits, None)
    duplicates: dict[str, Any] = {"exact": count_copies(connection), "near": None}
    if distance is not None:
        find_copies(connection, splits, distance)
        keep_near_copies(connection)
        duplicates["near"] = {"distance": distance, **count_copies(connection)}
    return {"duplicates": duplicates, "groups": straddling_groups(connection)}


def straddling_groups(connection: DuckDBPyConnection) -> dict[str, Any]:
    """Groups that lie in more than one split.

    Returns:
        `groups` (how many there are), `straddling` (how many of them straddle), and `largest`:
        {`group`, `images`: {split: images}} of those with most images.
    """
    connection.execute(
        'CREATE OR REPLACE TEMP TABLE members AS SELECT "group", split, count(*) AS images '
        'FROM sources WHERE "group" IS NOT NULL GROUP BY ALL'
    )
    ((groups, straddling),) = connection.execute(
        "SELECT count(*), count(*) FILTER (splits > 1) FROM "
        '(SELECT count(*) AS splits FROM members GROUP BY "group")'
    ).fetchall()
    largest = connection.execute(
        'SELECT "group", map_from_entries(list((split, images) ORDER BY split)) FROM members '
        'GROUP BY "group" HAVING count(*) > 1 ORDER BY sum(images) DESC, "group" LIMIT $most',
        {"most": _LISTED_GROUPS},
    ).fetchall()
    return {
        "groups": groups,
        "straddling": straddling,
        "largest": [{"group": group, "images": images} for group, images in largest],
    }


def _find_leaders(connection: DuckDBPyConnection, splits: Sequence[str], distance: int) -> None:
    """Makes the table `leaders`: the hash that stands for the set of each hash.

    In order of rank, a hash joins the nearest leader within the distance, or leads. So no set grows
    along a chain of small steps, as a video's frames would make one.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE hashes AS SELECT hash, row_number() OVER (ORDER BY first) "
        "AS rank FROM (SELECT ('0x' || image_phash)::UBIGINT AS hash, "
        "min({'split': -list_position($splits, split), 'key': key}) AS first "
        "FROM sources WHERE image_phash IS NOT NULL GROUP BY hash)",
        {"splits": list(splits)},
    )
    led: dict[int, int] = {}
    for batch in _near_pairs(connection, distance):
        pairs = zip(batch["later"].to_pylist(), batch["earlier"].to_pylist(), strict=True)
        for later, earlier in pairs:
            if later not in led and earlier not in led:
                led[later] = earlier
    hashes, leaders = (pa.array(column, pa.uint64()) for column in (led.keys(), led.values()))
    connection.register("led", pa.table({"hash": hashes, "leader": leaders}))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE leaders AS "
        "SELECT hash, coalesce(leader, hash) AS leader FROM hashes LEFT JOIN led USING (hash)"
    )
    connection.unregister("led")


def _near_pairs(connection: DuckDBPyConnection, distance: int) -> pa.RecordBatchReader:
    """Pairs of `hashes` within the distance, in order of the later one, nearest first.

    If two hashes differ in d bits, they agree in at least one of d + 1 bands (Norouzi et al. 2012,
    "Fast search in Hamming space with multi-index hashing"): only such pairs are compared.
    """
    bands = distance + 1
    width = HASH_BITS // bands
    query = connection.sql(
        "WITH bands AS (SELECT hash, rank, band, hash >> (band * $width) & "
        "CASE WHEN band = $last THEN ~0::UBIGINT ELSE (1::UBIGINT << $width) - 1 END AS part "
        "FROM hashes, unnest(range($last + 1)) AS b(band)) "
        "SELECT x.hash AS later, y.hash AS earlier FROM bands AS x JOIN bands AS y "
        "ON x.band = y.band AND x.part = y.part AND x.rank > y.rank "
        "WHERE bit_count(xor(x.hash, y.hash)) <= $distance "
        "GROUP BY x.hash, x.rank, y.hash, y.rank "
        "ORDER BY x.rank, bit_count(xor(x.hash, y.hash)), y.rank",
        params={"width": width, "last": bands - 1, "distance": distance},
    )
    return query.to_arrow_reader(_PAIRS_AT_ONCE)
