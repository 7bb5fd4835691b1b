"""`segflow ingest` from config to commit, but for the command line."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow import storage
from segflow.data.annotators import require_layout
from segflow.data.bands import BandCutter
from segflow.data.config import IngestConfig, parse_splits
from segflow.data.curation import Curation
from segflow.data.ingest import LIBRARIES, IngestJob, rows_per_shard
from segflow.data.labels import SAMPLED_MASKS, find_label_map, require_label_map
from segflow.data.layouts import LIST_ALL, SourcePaths, find_layout
from segflow.data.listing import require_outside
from segflow.data.planned import sample_rows
from segflow.data.planning import Judge, PairPlan
from segflow.data.splits import parse_group_pattern
from segflow.data.survey import Survey
from segflow.dataset import RECORD_NAME, Dataset
from segflow.jobs import progress
from segflow.jobs.launch import (
    Launch,
    Planned,
    refuse_other_output,
    require_free,
)
from segflow.label_map import LabelMap

_DEFAULT_SPLITS = "train=0.8,val=0.1,test=0.1"


def ingest(
    config: IngestConfig, flags: Sequence[str] = (), console: Console | None = None
) -> Dataset:
    """Ingests, goes on with an interrupted ingest, or finds that nothing is left to do.

    Args:
        config: The options.
        flags: Beam's flags.
        console: Where progress goes; default: stderr.

    Raises:
        UsageError: Bad input, found before any work began.
        RejectBudgetError: More rejects than allowed.
        JobError: The job failed.
    """
    console = console or progress.new_console()
    output = Path(config.output)
    pairs = _pair_plan(config, console)
    label_map = find_label_map(config.label_map, pairs.layout, pairs.paths)
    if label_map is None:
        label_map = _ask_for_label_map(pairs, config)
    recorded = config.recorded() | {"label_map": label_map.to_dict()}
    if (output / RECORD_NAME).is_file():
        refuse_other_output(output, RECORD_NAME, recorded)
        pairs.require_unchanged(output, RECORD_NAME)
        storage.remove_scraps(output)  # of a run that was killed behind its commit
        console.print(f"{output}: complete already, nothing left to do")
    else:
        require_free(output, _own_files(output))
        job = IngestJob(config, label_map)
        pairs = dataclasses.replace(pairs, judge=_judge(config, label_map, console))
        Launch(job, output, recorded, LIBRARIES, _Planner(pairs, job), flags)(console)
    dataset = Dataset.load(output)
    for line in dataset.warnings():
        console.print(line, highlight=False, markup=False)
    return dataset


@dataclass(frozen=True)
class _Planner:
    """Plans a new run: pairs, and a look at whether the label map can read the masks."""

    pairs: PairPlan
    job: IngestJob

    def __call__(self, folder: Path) -> Planned:
        planned = self.pairs(folder)
        require_label_map(self.job.label_map, _sample(folder), self.job.config.limits)
        return planned


def _pair_plan(config: IngestConfig, console: Console) -> PairPlan:
    paths = SourcePaths(config.images, config.masks, config.root, config.mask_pattern)
    layout, why = find_layout(config.layout, paths)
    require_layout(config.annotators, layout.name)
    if layout.name in LIST_ALL:
        require_outside(Path(config.output), images=config.images, masks=config.masks)
    if config.layout == "auto":
        console.print(f"layout {layout.name}: {why}")
    per_shard = functools.partial(rows_per_shard, config)
    return PairPlan(
        layout=layout,
        paths=paths,
        seed=config.seed,
        shares=_shares(config),
        own_splits=config.splits is None,
        group_pattern=_group_pattern(config),
        annotators=config.annotators,
        rows_per_shard=per_shard,
        cut=BandCutter(config, per_shard) if config.resize == "tile" else None,
    )


def _shares(config: IngestConfig) -> dict[str, float]:
    return parse_splits(config.splits or _DEFAULT_SPLITS)


def _group_pattern(config: IngestConfig) -> re.Pattern[str] | None:
    return None if config.group_pattern is None else parse_group_pattern(config.group_pattern)


def _judge(config: IngestConfig, label_map: LabelMap, console: Console) -> Judge | None:
    if not config.needs_survey:
        return None
    survey = Survey(label_map, config.limits, config, near=config.near_duplicates is not None)
    return Curation(
        config, parse_splits(config.splits or _DEFAULT_SPLITS), config.seed, survey, console
    )


def _ask_for_label_map(pairs: PairPlan, config: IngestConfig) -> LabelMap:
    with storage.scratch_folder() as folder:
        pairs(folder)
        return require_label_map(None, _sample(folder), config.limits)


def _sample(folder: Path) -> Sequence[Mapping[str, Any]]:
    return sample_rows(folder / "plan", SAMPLED_MASKS, lambda row: row["code"] is None)


def _own_files(output: Path) -> set[str]:
    """What a commit that was interrupted while publishing has left."""
    names = storage.names_in(output) if output.is_dir() else []
    return {"index", "rejects", *(name for name in names if name.endswith(".tfrecord"))}
