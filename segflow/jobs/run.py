"""A run: one plan being worked off, and where its files lie.

OUTPUT/_runs/<name>/
  run.json            what the run is; written last when planning, so its presence says
                      that the plan is complete
  plan/part-*.parquet the rows; one row group a shard
  staging/            one folder for each attempt at a shard; rows-done says how far it is
  planned/            tables that the plan itself has made, until the commit publishes them
  records/<shard>.json names the files of the attempt that won; put only if absent
  outcome.json        how the last commit step ended
"""

import datetime
import functools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segflow import storage
from segflow.errors import JobError, RejectCode

RUNS_FOLDER = "_runs"  # readers skip names that start with an underscore
_START = "%Y%m%dT%H%M%S.%fZ"
SHARDS_PER_PART = 256  # bounds the footer that a worker parses to find its row group


@dataclass(frozen=True)
class Shard:
    """A shard's address: its number in the plan, and in the group that it belongs to."""

    index: int
    group: str
    group_index: int
    group_shards: int


@dataclass(frozen=True)
class Run:
    """What a worker must know of a run; small enough to ship with every bundle.

    Attributes:
        output: The output folder.
        name: Sorts by start time.
        fingerprint: SHA-256 over the config and the versions that decide the output's bytes.
        started: UTC, ISO 8601, seconds.
        groups: Number of shards by group, in the plan's order.
        listed: Number of rows in the plan.
        config: The config as recorded.
        versions: Library versions as recorded.
        notes: What the launcher found out when planning that the commit record repeats.
        files: The tables in `planned`, as {`path`, `bytes`, `sha256`, `rows`}.
    """

    output: str
    name: str
    fingerprint: str
    started: str
    groups: Mapping[str, int]
    listed: int
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    notes: Mapping[str, Any]
    files: Sequence[Mapping[str, Any]] = ()

    def allowed_rejects(self, fraction: float, by_code: Mapping[str, int]) -> float:
        """How many rejects are within the budget: a share of all inputs that were found.

        Inputs that earlier runs have dealt with count too (`known`), or a single broken file
        among a night's few new ones would hold up every night. Duplicates that are dropped do not
        count against it: that was asked for.

        Args:
            fraction: The share.
            by_code: The run's rejects by code.
        """
        asked_for = by_code.get(RejectCode.DUPLICATE_IMAGE, 0)
        return fraction * (self.listed + int(self.notes.get("known", 0))) + asked_for

    @property
    def folder(self) -> Path:
        """Where the run's own files lie."""
        return Path(self.output) / RUNS_FOLDER / self.name

    @property
    def staging(self) -> Path:
        """Where attempts write, each in a folder of its own."""
        return self.folder / "staging"

    @property
    def planned(self) -> Path:
        """Where the plan's own tables lie until they are published."""
        return planned_tables(self.folder)

    @functools.cached_property
    def shard_count(self) -> int:
        """Number of shards in all groups."""
        return sum(self.groups.values())

    def shard(self, index: int) -> Shard:
        """The address of shard `index`."""
        first = 0
        for group, count in self.groups.items():
            if index < first + count:
                return Shard(index, group, index - first, count)
            first += count
        raise IndexError(f"run {self.name} has {first} shards, no shard {index}")

    def require_versions(self) -> None:
        """Checks that this process has the libraries that the run was planned with.

        Raises:
            JobError: It has others, which may make other bytes.
        """
        for name, planned in self.versions.items():
            try:
                found = metadata.version(name)
            except metadata.PackageNotFoundError:
                found = "none"
            if found != planned:
                raise JobError(
                    f"run {self.name}: planned with {name} {planned}, this worker has {found}; "
                    "give launcher and workers the same versions"
                )

    def rows(self, index: int) -> list[dict[str, Any]]:
        """The plan's rows of shard `index`, in order."""
        part, row_group = divmod(index, SHARDS_PER_PART)
        with pq.ParquetFile(plan_part(self.folder, part)) as file:
            return file.read_row_group(row_group, use_threads=False).to_pylist()

    def record_path(self, index: int) -> Path:
        """The record of shard `index`; it exists once the shard is done."""
        return self.folder / "records" / f"{index:06d}.json"

    def new_attempt(self, index: int) -> Path:
        """A fresh folder for one attempt at shard `index`."""
        folder = self.staging / f"{index:06d}-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def save(self) -> None:
        """Writes `run.json`, which makes the plan count as complete."""
        storage.put(self.folder / "run.json", storage.to_json(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """Reads `run.json`; the output is the folder it now lies in, not where it was made.

        Raises:
            JobError: It is another run's than the folder's name says.
        """
        data = storage.read_json(folder / "run.json")
        if data["name"] != folder.name:
            raise JobError(
                f"{folder / 'run.json'}: it calls itself the run {data['name']!r}; restore it, or "
                "remove the folder"
            )
        files = tuple(data.get("files", ()))
        return cls(**{**data, "output": str(folder.parent.parent), "files": files})


def planned_tables(run_folder: Path) -> Path:
    """Path of the folder of tables that a plan makes."""
    return run_folder / "planned"


def plan_part(run_folder: Path, part: int) -> Path:
    """Path of a plan's part file."""
    return run_folder / "plan" / f"part-{part:05d}.parquet"


def complete_runs(output: str | Path) -> list[Run]:
    """The runs whose plan is complete, oldest first."""
    folder = Path(output) / RUNS_FOLDER
    return [
        Run.load(folder / name)
        for name in storage.names_in(folder)
        if (folder / name / "run.json").is_file()
    ]


def new_name(fingerprint: str, newest: str | None = None) -> str:
    """A run's name: its start in UTC to the microsecond, and some of its fingerprint.

    Args:
        fingerprint: The run's.
        newest: The newest run there is. The new one comes after it, though this host's clock may
            be behind that of the host that named it.
    """
    start = datetime.datetime.now(datetime.UTC)
    if newest is not None:
        other = datetime.datetime.strptime(newest.partition("-")[0], _START)
        next_start = other.replace(tzinfo=datetime.UTC) + datetime.timedelta(microseconds=1)
        start = max(start, next_start)
    return f"{start:{_START}}-{fingerprint[:8]}"
