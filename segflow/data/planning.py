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
from segflow.data import pairing
from segflow.data.config import Annotators
from segflow.data.layouts import Layout, SourceFile, SourcePaths
from segflow.data.listing import storable
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
            UsageError: A folder is missing, there are no images, nothing pairs, or what is listed
                of an image for several annotators disagrees about its split or group.
        """
        listing = folder / "listing.parquet"
        with (
            Spool(folder / "annotations") as spool,
            connect(folder / "spill") as connection,
        ):
            write_listing(listing, self._rows(spool), _LISTING)
            self._require_pairs(connection, listing)
            if self.annotators is not None:
                self._require_agreement(connection, listing)
            groups = self._groups(connection, listing)

            def write(to: Path, sql: str, **more: str) -> PlanSummary:
                params = {"listing": str(listing), "groups": groups, **more}
                rows = connection.sql(sql, params=params).to_arrow_reader(ROWS_AT_ONCE)
                whole = (spool.attach(batch, "annotation") for batch in rows)
                is_final = to == folder
                batches = self.cut(whole) if self.cut is not None and is_final else whole
                return PlanWriter(to, self.rows_per_shard).write(batches)

            draft = folder if self.judge is None else folder / "draft"
            summary = write(draft, pairing.plain(self.annotators))
            sources_sha256 = sources_hash(draft / "plan")
            if self.judge is not None:
                verdicts = self.judge(plan_rows(draft, summary), groups, draft)
                summary = write(folder, pairing.judged(self.annotators), verdicts=str(verdicts))
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
            key = storable(source.key)
            group = self._group(source, key)
            annotation_at, annotation_bytes = spool.add(source.annotation)
            yield {
                "role": source.role,
                "key": key,
                "uri": storable(source.file.path),
                "bytes": source.file.bytes,
                "mtime_ns": source.file.mtime_ns,
                "shard_group": own or choose_split(self.shares, self.seed, group or key),
                "own_split": own is not None,
                "source_group": group,
                "position": f"{hashing.stable_seed('order', self.seed, source.near or key):016x}",
                "code": source.file.code,
                "message": source.file.message and storable(source.file.message),
                "part": source.file.part,
                "ground_resolution": source.ground_resolution,
                "annotation_at": annotation_at,
                "annotation_bytes": annotation_bytes,
            }

    def _group(self, source: SourceFile, key: str) -> str | None:
        if self.group_pattern is None:
            return source.group and storable(source.group)
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

    def _require_agreement(self, connection: duckdb.DuckDBPyConnection, listing: Path) -> None:
        params = {"listing": str(listing)}
        for uri, count in connection.execute(pairing.DISAGREEING, params).fetchall():
            raise UsageError(
                f"--annotators {self.annotators}: the rows of an image must agree about its split "
                f"and group; found {count} whose rows do not, first {uri}; correct the manifest"
            )

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
