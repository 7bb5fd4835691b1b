"""What is decided of pairs after a look at all of them: copies to drop, stratified splits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console

from segflow import hashing
from segflow.data import leaks
from segflow.data.config import SplitsConfig
from segflow.data.stratify import Unit, rarity, stratify
from segflow.data.survey import Survey
from segflow.errors import RejectCode, UsageError
from segflow.jobs.plan import ROWS_AT_ONCE, connect, write_listing

_SOURCES = pa.schema(
    {
        **dict.fromkeys(("key", "split", "group", "image_uri", "image_sha256"), pa.string()),
        "image_phash": pa.string(),
        "class_pixels": pa.list_(pa.int64()),
    }
)
_UNITS = pa.schema(
    {
        "unit": pa.string(),
        "amounts": pa.list_(pa.int64()),
        "rarity": pa.float64(),
        "position": pa.string(),
    }
)
_CHOSEN = pa.schema({"unit": pa.string(), "split": pa.string()})

_WHOLE = 1_000_000_000  # an image in integers, whose sums do not depend on the order
_UNIT = """coalesce('group ' || "group", 'key ' || key)"""
_AMOUNTS = f"""
    WITH kept AS (
      SELECT {_UNIT} AS unit, class_pixels, greatest(list_sum(class_pixels), 1) AS pixels
      FROM sources ANTI JOIN dropped USING (key)
    ), parts AS (
      SELECT unit, generate_subscripts(class_pixels, 1) AS id,
             unnest(class_pixels) * {_WHOLE} // pixels AS part FROM kept
      UNION ALL SELECT unit, 0, {_WHOLE} FROM kept
    )
"""


@dataclass(frozen=True)
class Curation:
    """Looks at every pair of a draft of the plan and says what is to be otherwise.

    Attributes:
        config: What is asked for.
        shares: Of the splits, for stratifying.
        seed: Of the order of images that are equally rare.
        survey: Reads the pairs.
        console: Where progress goes.
    """

    config: SplitsConfig
    shares: Mapping[str, float]
    seed: int
    survey: Survey
    console: Console

    def __call__(
        self, rows: Iterator[Mapping[str, Any]], splits: Sequence[str], folder: Path
    ) -> Path:
        """Decides about pairs.

        Args:
            rows: Of the draft, with `split`; those that are refused already are left alone.
            splits: In their usual order.
            folder: Where to work, and to leave the result.

        Returns:
            A Parquet file with `key`, `split`, `code` and `message` of each pair that was read;
            None where the draft stands.

        Raises:
            UsageError: There are duplicates, and `--duplicates fail` is given.
        """
        sound = (row for row in rows if row["code"] is None)
        write_listing(folder / "sources.parquet", self.survey(sound, self.console), _SOURCES)
        with connect(folder / "spill") as connection:
            connection.execute(
                "CREATE TABLE sources AS FROM read_parquet($1)",
                [str(folder / "sources.parquet")],
            )
            self._judge_copies(connection, splits)
            self._choose_splits(connection, folder)
            query = connection.sql(
                "SELECT key, c.split, code, message FROM sources LEFT JOIN dropped USING (key) "
                f"LEFT JOIN chosen AS c ON c.unit = {_UNIT}"
            )
            query.write_parquet(str(folder / "verdicts.parquet"))
        return folder / "verdicts.parquet"

    def _judge_copies(self, connection: duckdb.DuckDBPyConnection, splits: Sequence[str]) -> None:
        connection.execute("CREATE TABLE dropped (key VARCHAR, code VARCHAR, message VARCHAR)")
        if self.config.duplicates == "keep":
            return
        leaks.find_copies(connection, splits, self.config.near_duplicates)
        if self.config.duplicates == "fail":
            _refuse_copies(connection)
        connection.execute(
            "INSERT INTO dropped SELECT copy.key, $code, CASE WHEN copy.image_sha256 = "
            "kept.image_sha256 THEN 'image: the same file as that of ' ELSE 'image: looks like "
            "that of ' END || kept.key || CASE WHEN copy.image_sha256 = kept.image_sha256 THEN '' "
            "ELSE ' (' || copy.distance || ' of 64 bits differ)' END "
            "FROM copies AS copy JOIN copies AS kept ON copy.set = kept.set AND kept.rank = 1 "
            "WHERE copy.rank > 1",
            {"code": str(RejectCode.DUPLICATE_IMAGE)},
        )

    def _choose_splits(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        chosen: Iterator[tuple[str, str]] = iter(())
        if self.config.stratify:
            chosen = stratify(*self._units(connection, folder), self.shares)
        rows = ({"unit": unit, "split": split} for unit, split in chosen)
        write_listing(folder / "chosen.parquet", rows, _CHOSEN)
        connection.execute(
            "CREATE TABLE chosen AS FROM read_parquet($1)", [str(folder / "chosen.parquet")]
        )

    def _units(
        self, connection: duckdb.DuckDBPyConnection, folder: Path
    ) -> tuple[Iterator[Unit], np.ndarray[Any, np.dtype[np.float64]]]:
        """Groups and single images with what they hold, the rarest first; and the sum of all."""
        found = connection.execute(
            f"{_AMOUNTS} SELECT sum(part)::DOUBLE FROM parts GROUP BY id ORDER BY id"
        ).fetchall()
        totals = np.array([total for (total,) in found])
        query = connection.sql(
            f"{_AMOUNTS} SELECT unit, list(amount ORDER BY id) AS amounts FROM (SELECT unit, id, "
            "sum(part)::BIGINT AS amount FROM parts GROUP BY ALL) GROUP BY unit"
        )
        rows = (
            row | {"rarity": rarity(np.array(row["amounts"], float), totals), "position": position}
            for batch in query.to_arrow_reader(ROWS_AT_ONCE)
            for row in batch.to_pylist()
            for position in [f"{hashing.stable_seed('order', self.seed, row['unit']):016x}"]
        )
        write_listing(folder / "units.parquet", rows, _UNITS)
        ordered = connection.sql(
            "SELECT unit, amounts FROM read_parquet($path) ORDER BY rarity DESC, position, unit",
            params={"path": str(folder / "units.parquet")},
        ).to_arrow_reader(ROWS_AT_ONCE)
        units = (
            (row["unit"], np.array(row["amounts"], float))
            for batch in ordered
            for row in batch.to_pylist()
        )
        return units, totals


def _refuse_copies(connection: duckdb.DuckDBPyConnection) -> None:
    """Raises `UsageError` if there are copies."""
    counts = leaks.count_copies(connection)
    if not counts["sets"]:
        return
    # A set that straddles is the worst there is.
    ((names,),) = connection.execute(
        "SELECT list(key || ' (' || split || ')' ORDER BY rank)[:2] FROM copies GROUP BY set "
        "ORDER BY count(DISTINCT split) DESC, min(key) LIMIT 1"
    ).fetchall()
    raise UsageError(
        f"--duplicates fail: {counts['images']} images in {_sets(counts['sets'])} are copies of "
        f"each other, {_sets(counts['across_splits'])} in more than one split; the first: "
        f"{' and '.join(names)}; give --duplicates drop to leave all but one out, or keep"
    )


def _sets(count: int) -> str:
    return f"{count} set" if count == 1 else f"{count} sets"
