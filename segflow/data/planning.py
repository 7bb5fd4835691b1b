"""The plan of a job over image/mask pairs: list, pair, split, sort into shards."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segflow import hashing, storage
from segflow.data.config import Annotators
from segflow.data.layouts import Layout, SourceFile, SourcePaths
from segflow.data.patterns import no_pairs
from segflow.data.planned import plan_rows, sources_hash
from segflow.data.splits import choose_split, group_of, require_split_name
from segflow.data.spool import Spool
from segflow.errors import UsageError
from segflow.jobs.launch import Planned
from segflow.jobs.plan import ROWS_AT_ONCE, PlanSummary, PlanWriter, connect, write_listing

_LISTING = pa.schema(
    {
        "role": pa.string(),
        "key": pa.string(),
        "uri": pa.string(),
        "bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "shard_group": pa.string(),
        "own_split": pa.bool_(),
        "source_group": pa.string(),
        "position": pa.string(),
        "code": pa.string(),
        "message": pa.string(),
        "part": pa.string(),
        "ground_resolution": pa.float64(),
        "annotation_at": pa.int64(),
        "annotation_bytes": pa.int64(),
    }
)


# Rows come out sorted by group and hash of the key: neighbours in a folder are spread over
# shards, and the order is the same wherever and however often the plan is made.
_PAIR = """
    WITH own AS (
      SELECT source_group, min(shard_group) AS own_group FROM read_parquet($listing)
      WHERE own_split AND source_group IS NOT NULL GROUP BY source_group
    ), listed AS (  -- what has no split of its own goes where its group is
      SELECT l.* EXCLUDE (shard_group),
             CASE WHEN l.own_split THEN l.shard_group
                  ELSE coalesce(own.own_group, l.shard_group) END AS shard_group
      FROM read_parquet($listing) AS l LEFT JOIN own USING (source_group)
    ), pictures AS (  -- with several annotators, an image is listed for each of them
      SELECT * FROM listed WHERE role = 'image'
      QUALIFY $annotators IS NULL OR row_number() OVER (
        PARTITION BY key, uri ORDER BY shard_group, source_group, ground_resolution) = 1
    ), images AS (
      SELECT *, count(*) OVER (PARTITION BY key) AS n,
             bool_or(code IS NOT DISTINCT FROM 'outside_root') OVER (PARTITION BY key) AS outside,
             string_agg(uri, ', ') OVER (PARTITION BY key ORDER BY uri
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS uris
      FROM pictures
    ), chosen AS (
      SELECT * FROM listed WHERE role = 'mask' QUALIFY $annotators IS DISTINCT FROM 'first'
        OR row_number() OVER (PARTITION BY key ORDER BY uri) = 1
    ), masks AS (
      SELECT key, min(uri) AS uri, arg_min(bytes, uri) AS bytes, arg_min(mtime_ns, uri) AS mtime_ns,
             sum(bytes)::BIGINT AS all_bytes, list(uri ORDER BY uri) AS each_uri,
             list(bytes ORDER BY uri) AS each_bytes, list(mtime_ns ORDER BY uri) AS each_mtime_ns,
             min(shard_group) AS shard_group, min(position) AS position,
             min(source_group) AS source_group,
             coalesce(min(code) FILTER (code = 'outside_root'), min(code)) AS code,
             min(message) AS message, min(part) AS part, min(annotation_at) AS annotation_at,
             min(annotation_bytes) AS annotation_bytes, count(*) AS n,
             n > 1 AND ($annotators IS NULL OR count(DISTINCT uri) < n) AS are_duplicates,
             n > 1 AND $annotators = 'majority' AS are_votes,
             string_agg(uri, ', ' ORDER BY uri) AS uris
      FROM chosen GROUP BY key
    )
    SELECT coalesce(i.shard_group, m.shard_group) AS shard_group,
           coalesce(i.position, m.position) AS position,
           coalesce(i.bytes, 0) + coalesce(if(m.are_votes, m.all_bytes, m.bytes), 0) AS weight,
           key, coalesce(i.source_group, m.source_group) AS "group",
           i.uri AS image_uri, i.bytes AS image_bytes, i.mtime_ns AS image_mtime_ns,
           m.uri AS mask_uri, m.bytes AS mask_bytes, m.mtime_ns AS mask_mtime_ns,
           i.part AS image_part, m.part AS mask_part, i.ground_resolution,
           m.annotation_at, m.annotation_bytes,
           if(m.are_votes, m.each_uri, NULL) AS mask_uris,
           if(m.are_votes, m.each_bytes, NULL) AS masks_bytes,
           if(m.are_votes, m.each_mtime_ns, NULL) AS masks_mtime_ns,
           CASE WHEN i.uri IS NULL THEN 'missing_image'
                WHEN i.outside OR m.code = 'outside_root' THEN 'outside_root'
                WHEN i.n > 1 OR m.are_duplicates THEN 'duplicate_key'
                WHEN i.code IS NOT NULL THEN i.code
                WHEN m.uri IS NULL THEN 'missing_mask'
                ELSE m.code END AS code,
           CASE WHEN i.uri IS NULL AND m.n > 1
                  THEN 'no image has the key ' || key || ', but several masks: ' || m.uris
                WHEN i.uri IS NULL THEN 'no image has the key ' || key
                WHEN i.outside AND i.code IS DISTINCT FROM 'outside_root'
                  THEN 'another image of its key lies outside the root'
                WHEN i.outside THEN i.message
                WHEN m.code = 'outside_root' THEN m.message
                WHEN i.n > 1 THEN 'images with one key: ' || i.uris
                WHEN m.are_duplicates THEN 'masks with one key: ' || m.uris
                WHEN i.code IS NOT NULL THEN i.message
                WHEN m.uri IS NULL THEN 'no mask has the key ' || key
                ELSE m.message END AS message
    FROM images AS i FULL JOIN masks AS m USING (key)
"""

_PLAIN = f"""
    SELECT * EXCLUDE (position) FROM ({_PAIR})
    ORDER BY list_position($groups, shard_group), position, key, image_uri
"""

# Only what is not refused already is judged, so its key is its own.
_JUDGED = f"""
    SELECT * EXCLUDE (position) FROM (
      SELECT p.* REPLACE (CASE WHEN p.code IS NULL THEN coalesce(v.split, p.shard_group)
                               ELSE p.shard_group END AS shard_group,
                          coalesce(p.code, v.code) AS code,
                          coalesce(p.message, v.message) AS message)
      FROM ({_PAIR}) AS p LEFT JOIN read_parquet($verdicts) AS v USING (key))
    ORDER BY list_position($groups, shard_group), position, key, image_uri
"""


Judge = Callable[[Iterator[dict[str, Any]], Sequence[str], Path], Path]


@dataclass(frozen=True)
class PairPlan:
    """Plans pairs of a layout.

    Attributes:
        layout: Lists the files.
        paths: As the user gave them.
        seed: Of splits and order.
        shares: Share of each split by hash of the key.
        rows_per_shard: By split.
        own_splits: Whether the layout's own splits come first; `shares` are for the rest.
        group_pattern: Finds in a key the group that must not straddle splits; None: the layout's
            own groups.
        judge: Changes splits and refuses rows after a look at all of a draft, whose rows it is
            given with their `split`, the splits in order, and a folder; returns a Parquet file
            with `key`, `split`, `code` and `message`, None where the draft stands.
        annotators: What several masks of one image mean; None: they are duplicates.
        cut: Cuts up rows that would make more than a shard; None: there are no such.
    """

    layout: Layout
    paths: SourcePaths
    seed: int
    shares: Mapping[str, float]
    rows_per_shard: Callable[[str], int]
    own_splits: bool = True
    group_pattern: re.Pattern[str] | None = None
    judge: Judge | None = None
    annotators: Annotators | None = None
    cut: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]] | None = None

    def __call__(self, folder: Path) -> Planned:
        """Writes the plan into the run folder `folder`.

        Raises:
            UsageError: A folder is missing, there are no images, or nothing pairs.
        """
        listing = folder / "listing.parquet"
        with (
            Spool(folder / "annotations") as spool,
            connect(folder / "spill") as connection,
        ):
            write_listing(listing, self._rows(spool), _LISTING)
            self._require_pairs(connection, listing)
            groups = self._groups(connection, listing)

            def write(to: Path, sql: str, **more: str) -> PlanSummary:
                asked = {"groups": groups, "annotators": self.annotators}
                params = {"listing": str(listing), **asked, **more}
                rows = connection.sql(sql, params=params).to_arrow_reader(ROWS_AT_ONCE)
                whole = (spool.attach(batch, "annotation") for batch in rows)
                is_final = to == folder
                batches = self.cut(whole) if self.cut is not None and is_final else whole
                return PlanWriter(to, self.rows_per_shard).write(batches)

            draft = folder if self.judge is None else folder / "draft"
            summary = write(draft, _PLAIN)
            sources_sha256 = sources_hash(draft / "plan")
            if self.judge is not None:
                verdicts = self.judge(plan_rows(draft, summary), groups, draft)
                summary = write(folder, _JUDGED, verdicts=str(verdicts))
                shutil.rmtree(draft)
        listing.unlink()
        notes = {"layout": self.layout.name, "splits": groups, "sources_sha256": sources_sha256}
        return Planned(summary, notes)

    def require_unchanged(self, output: Path, record_name: str) -> None:
        """Refuses to call an output complete whose source files have changed since.

        Raises:
            UsageError: They have, or there are others.
        """
        there = storage.read_json(output / record_name)
        with storage.scratch_folder() as folder:
            planned = dataclasses.replace(self, judge=None, cut=None)(folder)
        if planned.notes["sources_sha256"] != there["sources_sha256"]:
            raise UsageError(
                f"--output {output}: is complete, but its source files have changed since, or "
                "others are there; choose another folder"
            )

    def _rows(self, spool: Spool) -> Iterator[dict[str, Any]]:
        for source in self.layout.sources(self.paths.absolute()):
            own = require_split_name(source.split) if self.own_splits else None
            key = _storable(source.key)
            group = self._group(source, key)
            annotation_at, annotation_bytes = spool.add(source.annotation)
            yield {
                "role": source.role,
                "key": key,
                "uri": _storable(source.file.path),
                "bytes": source.file.bytes,
                "mtime_ns": source.file.mtime_ns,
                "shard_group": own or choose_split(self.shares, self.seed, group or key),
                "own_split": own is not None,
                "source_group": group,
                "position": f"{hashing.stable_seed('order', self.seed, source.near or key):016x}",
                "code": source.file.code,
                "message": source.file.message and _storable(source.file.message),
                "part": source.file.part,
                "ground_resolution": source.ground_resolution,
                "annotation_at": annotation_at,
                "annotation_bytes": annotation_bytes,
            }

    def _group(self, source: SourceFile, key: str) -> str | None:
        if self.group_pattern is None:
            return source.group and _storable(source.group)
        # What must not be read is rejected whatever its name.
        return None if source.file.code else group_of(self.group_pattern, key)

    def _groups(self, connection: duckdb.DuckDBPyConnection, listing: Path) -> list[str]:
        found = connection.execute(
            "SELECT shard_group, bool_and(own_split) FROM read_parquet($1) GROUP BY ALL",
            [str(listing)],
        ).fetchall()
        names = {name for name, _ in found}
        if not all(own for _, own in found):
            names |= set(self.shares)
        if names == set(self.shares):
            return list(self.shares)
        usual = ("train", "val", "test")
        return [n for n in usual if n in names] + sorted(names - set(usual))

    def _require_pairs(self, connection: duckdb.DuckDBPyConnection, listing: Path) -> None:
        def keys(role: str) -> list[str]:
            query = "SELECT key FROM read_parquet($1) WHERE role = $2 ORDER BY key LIMIT 1000"
            return [row[0] for row in connection.execute(query, [str(listing), role]).fetchall()]

        images, masks = keys("image"), keys("mask")
        if not images:
            raise UsageError(
                f"--images {self.paths.images}: no images found; expected at least one"
            )
        if not masks:
            where = self.paths.masks or self.paths.images
            if self.paths.mask_pattern is not None:
                raise UsageError(
                    f"--mask-pattern {self.paths.mask_pattern}: fits no file in {where}, such as "
                    f"{images[0]!r} (paths without extension)"
                )
            raise UsageError(f"--masks {where}: no masks found; expected at least one")
        pairs = connection.execute(
            "SELECT count(*) FROM (SELECT DISTINCT key FROM read_parquet($1) WHERE role = 'image') "
            "SEMI JOIN (SELECT key FROM read_parquet($1) WHERE role = 'mask') USING (key)",
            [str(listing)],
        ).fetchall()
        if pairs == [(0,)]:
            raise UsageError(no_pairs(images, masks))


def _storable(text: str) -> str:
    # JSON may hold half a character; UTF-8 has no bytes for it.
    return text.encode(errors="replace").decode()
