"""The label job: a shard of image addresses becomes two tables."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segflow import outputs, storage
from segflow.data import contained, geotiff
from segflow.data.pair import read_image
from segflow.errors import RejectError
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import ShardOutput
from segflow.jobs.run import Run, Shard
from segflow.label import certainty
from segflow.label.config import LabelConfig
from segflow.label.current import current_sql
from segflow.label.prediction import Prediction
from segflow.label.regions import count_regions
from segflow.label.review import write_review
from segflow.label.tables import AREAS_SCHEMA, IMAGES_SCHEMA, Labelled, class_sums, labelled
from segflow.label_map import LabelMap

if TYPE_CHECKING:
    from segflow.label.predictor import Predictor, Prepared

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
        """The contents of `runs/<run>.json`."""
        pixels = totals.sums.get("pixels", 0)
        by_class = totals.sums.get("classes", {})
        classes = []
        for c in self.label_map.classes:
            sums = by_class.get(str(c.id), {"pixels": 0, "images": 0})
            fraction = sums["pixels"] / pixels if pixels else 0.0
            classes.append({"id": c.id, "name": c.name, **sums, "fraction": fraction})
        return {
            "format_version": self.format_version,
            "run": run.name,
            "started": run.started,
            "model": {
                "path": str(Path(self.config.model).absolute()),
                "fingerprint": self.model_fingerprint,
                "label_map": self.label_map.to_dict(),
            },
            "images": self.config.images,
            "inputs": totals.inputs(),
            "pixels": pixels,
            "classes": classes,
            "certainty": certainty.means(totals.sums.get("certainty", {}), pixels),
            "gone": run.notes["gone"],
            "config": run.config,
            "versions": run.versions,
            "files": list(totals.files),
        }

    def after_commit(self, run: Run) -> None:
        """Writes `current.sql` anew, and the run's review list."""
        output = Path(run.output)
        storage.put(output / "current.sql", current_sql(output).encode())
        record = storage.read_json(output / self.record_path(run))
        write_review(output, record, self.config.review)


@dataclass
class LabelWork:
    """Labels one shard after another; batches run side by side, each on one thread."""

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
        size = self.predictor.images_at_once
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        for batch, outcomes in zip(batches, self._pool.map(self._label, batches), strict=True):
            for row, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, RejectError):
                    output.reject(row, outcome)
                else:
                    output.accept()
                    done.append(outcome)
        images = pa.Table.from_pylist([d.image for d in done], schema=IMAGES_SCHEMA)
        areas = pa.Table.from_pylist([a for d in done for a in d.areas], schema=AREAS_SCHEMA)
        output.add_table(part_path("images", output.run, shard), images)
        output.add_table(part_path("areas", output.run, shard), areas)
        output.add_sums(class_sums(done))
        output.add_sums({"certainty": certainty.image_sums([d.image for d in done])})

    def close(self) -> None:
        """Ends the threads and the decoder processes."""
        self._pool.shutdown()
        contained.close()

    def _label(self, rows: Sequence[Mapping[str, Any]]) -> list[Labelled | RejectError]:
        outcomes: list[Labelled | RejectError | None] = []
        read: list[tuple[int, str, Prepared]] = []
        for index, row in enumerate(rows):
            try:
                image, sha256, _ = read_image(row, self.config.limits, self.predictor.reading)
                prepared = self.predictor.prepare(image, row["image_uri"])
                read.append((index, sha256, prepared))
                outcomes.append(None)
            except RejectError as error:
                outcomes.append(error)
        bundle = self.predictor.bundle
        predictions = self.predictor.predictions([prepared for _, _, prepared in read])
        for (index, sha256, _), prediction in zip(read, predictions, strict=True):
            outcomes[index] = labelled(
                rows[index]["image_uri"],
                sha256,
                prediction,
                self.config.mask_format,
                bundle.label_map,
                bundle.fingerprint,
                regions=self._regions(prediction),
            )
        return [outcome for outcome in outcomes if outcome is not None]

    def _regions(self, prediction: Prediction) -> NDArray[np.int64] | None:
        if not self.config.count_regions:
            return None
        return count_regions(prediction.mask, self.predictor.bundle.label_map.num_classes)


def part_path(table: str, run: Run, shard: Shard) -> str:
    """`<table>/run=<run>/part-*.parquet`: Hive-style, so that readers see `run` as a column."""
    return f"{table}/run={run.name}/part-{shard.index:05d}.parquet"
