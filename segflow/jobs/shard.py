"""One shard, from its address to its record: complete or absent, whoever tries and how often."""

import shutil
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from segflow import hashing, storage
from segflow.errors import RejectCode, RejectError
from segflow.jobs.job import Job, ShardWork
from segflow.jobs.output import REJECTS_SCHEMA, ShardOutput
from segflow.jobs.run import Run


@dataclass(frozen=True)
class ShardResult:
    """What crosses the shuffle for a finished shard; `worked` is false where it was found done."""

    accepted: int
    rejected: int
    rejected_by_code: dict[str, int]
    worked: bool


def finish_shard(job: Job, run: Run, work: ShardWork, index: int) -> ShardResult:
    """Works on a shard unless its record says that it is done.

    Of several attempts at once, the one whose record is put first wins; the files of the
    others are removed and never named.

    Raises:
        RuntimeError: The work neither accepted nor rejected some row (a bug).
    """
    path = run.record_path(index)
    if path.exists():
        return _result(storage.read_json(path), worked=False)
    output = ShardOutput(run, run.new_attempt(index))
    won = False
    try:
        _fill(job, run, work, index, output)
        record = {"shard": index, **output.record()}
        won = storage.put_if_absent(path, hashing.canonical_json(record))
    except Exception:
        # Whoever has won may have committed and removed all attempts, this one's files with them.
        if not path.exists():
            raise
    finally:
        if not won:
            shutil.rmtree(output.folder, ignore_errors=True)
    return _result(storage.read_json(path), worked=won)


def _fill(job: Job, run: Run, work: ShardWork, index: int, output: ShardOutput) -> None:
    shard, rows = run.shard(index), run.rows(index)
    todo = []
    for row in rows:
        if row.get("code"):
            output.reject(row, RejectError(RejectCode(row["code"]), row["message"]))
        else:
            todo.append(row)
    work(shard, todo, output)
    if output.accepted + len(output.rejects) != len(rows):
        raise RuntimeError(
            f"shard {index}: {len(rows)} rows, but {output.accepted} accepted and "
            f"{len(output.rejects)} rejected"
        )
    if output.rejects:
        rejects = sorted(output.rejects, key=lambda r: (r["key"], r["image_uri"] or ""))
        table = pa.Table.from_pylist(rejects, schema=REJECTS_SCHEMA)
        output.add_table(job.rejects_path(run, shard), table)


def _result(record: dict[str, Any], *, worked: bool) -> ShardResult:
    return ShardResult(record["accepted"], record["rejected"], record["rejected_by_code"], worked)
