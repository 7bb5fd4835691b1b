"""The label job: a shard of image addresses becomes two tables."""

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from segflow import outputs, storage
from segflow.data import contained, geotiff
from segflow.errors import RejectError
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import ShardOutput
from segflow.jobs.run import Run, Shard
from segflow.label import certainty
from segflow.label.config import LabelConfig
from segflow.label.current import write_current_sql
from segflow.label.images import Labeller
from segflow.label.review import write_review
from segflow.label.tables import (
    AREAS_DICTIONARIES,
    AREAS_SCHEMA,
    IMAGES_DICTIONARIES,
    IMAGES_SCHEMA,
    Labelled,
    class_sums,
    class_totals,
    effective_images,
)
from segflow.label.windows import Windows
from segflow.label_map import LabelMap
from segflow.references.adjustment import adjusted_for_labels

if TYPE_CHECKING:
    from segflow.label.predictor import Predictor

RECORDS_FOLDER = "runs"

# Distributions whose version decides the labels' bytes.
LIBRARIES = ("tensorflow", "keras", "pillow", "numpy", "pyarrow", "scipy", *geotiff.LIBRARIES)


@dataclass(frozen=True)
class LabelJob(Job):
    """Labelling as a sharded job."""

    config: LabelConfig
    label_map: LabelMap
    model_fingerprint: str
    name: str = "label"
    format_version: int = outputs.LABELS.format_version

    @property
    def max_reject_fraction(self) -> float:  # type: ignore[override]
        """From the config."""
        return self.config.max_reject_fraction

    def open(self) -> "LabelWork":
        """Loads the model."""
        # TensorFlow takes seconds to import: only in workers, not in the launcher.
        from segflow.label.predictor import load_for_job

        config = self.config
        predictor = load_for_job(
            config.model,
            self.model_fingerprint,
            config.batch_size,
            config.worker_threads,
            config.tta,
            Windows(config.windows, config.window_overlap),
            uncertain_below=config.uncertain_below,
        )
        return LabelWork(config, predictor)

    def rejects_path(self, run: Run, shard: Shard) -> str:
        """`rejects/run=<run>/part-*.parquet`."""
        return part_path("rejects", run, shard)

    def record_path(self, run: Run) -> str:
        """`runs/<run>.json`."""
        return f"{RECORDS_FOLDER}/{run.name}.json"

    def record(self, run: Run, totals: Totals) -> Mapping[str, Any]:
        """The contents of `runs/<run>.json`.

        When it was finished, and what the bundle keeps of evaluations, may change from try to try;
        the first record stays.
        """
        model = Path(self.config.model).absolute()
        pixels = totals.sums.get("pixels", 0)
        classes = class_totals(self.label_map, totals.sums)
        effective, by_rows = effective_images(totals.sums), totals.sums.get("by_rows", 0)
        return {
            "format_version": self.format_version,
            "run": run.name,
            "started": run.started,
            "finished": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
            "model": {
                "path": str(model),
                "fingerprint": self.model_fingerprint,
                "label_map": self.label_map.to_dict(),
            },
            "images": self.config.images,
            "inputs": totals.inputs(),
            "pixels": pixels,
            "images_by_rows": by_rows,
            "images_without_area": totals.sums.get("without_area", 0),
            "effective_images": effective,
            "classes": classes,
            "certainty": certainty.means(totals.sums.get("certainty", {}), pixels),
            "adjusted_areas": adjusted_for_labels(
                model, self.model_fingerprint, run.config, classes, effective, by_rows
            ),
            "gone": run.notes["gone"],
            "config": run.config,
            "versions": run.versions,
            "files": list(totals.files),
        }

    def after_commit(self, run: Run) -> None:
        """Writes `current.sql` anew, and the run's review list."""
        output = Path(run.output)
        write_current_sql(output)
        record = storage.read_json(output / self.record_path(run))
        write_review(output, record, self.config.review)


@dataclass
class LabelWork:
    """Labels one shard after another; batches run side by side, each on one thread.

    A giant has a thread of its own, while others go on.
    """

    config: LabelConfig
    predictor: "Predictor"
    _pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.config.worker_threads)

    def __call__(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]], output: ShardOutput
    ) -> None:
        """Writes the shard's tables; only encoded masks of a shard are in memory at once."""
        done: list[Labelled] = []
        label = Labeller(
            self.predictor,
            self.config.mask_format,
            self.config.limits,
            self.config.ground_resolution,
            self.config.count_regions,
        )
        size = self.predictor.images_at_once
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        for batch, outcomes in zip(batches, self._pool.map(label, batches), strict=True):
            for row, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, RejectError):
                    output.reject(row, outcome)
                else:
                    output.accept()
                    done.append(outcome)
        images = pa.Table.from_pylist([d.image for d in done], schema=IMAGES_SCHEMA)
        areas = pa.Table.from_pylist([a for d in done for a in d.areas], schema=AREAS_SCHEMA)
        output.add_table(part_path("images", output.run, shard), images, IMAGES_DICTIONARIES)
        output.add_table(part_path("areas", output.run, shard), areas, AREAS_DICTIONARIES)
        output.add_sums(class_sums(done))
        output.add_sums({"certainty": certainty.image_sums([d.image for d in done])})

    def close(self) -> None:
        """Ends the threads and the decoder processes."""
        self._pool.shutdown()
        contained.close()


def part_path(table: str, run: Run, shard: Shard) -> str:
    """`<table>/run=<run>/part-*.parquet`: Hive-style, so that readers see `run` as a column."""
    return f"{table}/run={run.name}/part-{shard.index:05d}.parquet"
