"""Where the pairs to score come from: raw files, or the records of a dataset's split."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from segflow.data.config import DecodeLimits
from segflow.data.pair import read_pair
from segflow.data.reading import ReadingConfig
from segflow.data.records import decode_example, read_frames
from segflow.dataset import Dataset
from segflow.errors import RejectError, UsageError
from segflow.jobs.launch import Planned
from segflow.jobs.plan import ROWS_AT_ONCE, PlanWriter, connect
from segflow.jobs.run import Shard
from segflow.label_map import LabelMap


@dataclass(frozen=True)
class Truth:
    """A decoded pair to score.

    Attributes:
        image: RGB uint8 [height, width, 3].
        mask: Ids [height, width].
        image_sha256: Of the source image's bytes, in hex.
    """

    image: NDArray[np.uint8]
    mask: NDArray[Any]
    image_sha256: str


class Source(Protocol):
    """Reads the pairs that a shard's rows address."""

    def read(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]]
    ) -> Iterator[Truth | RejectError]:
        """The pair of each row, or why there is none, in order and one at a time."""


@dataclass(frozen=True)
class RawPairs:
    """Image and mask files, at their own size."""

    label_map: LabelMap
    limits: DecodeLimits
    reading: ReadingConfig

    def read(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]]
    ) -> Iterator[Truth | RejectError]:
        """Reads and checks pair after pair, as ingest does."""
        for row in rows:
            try:
                pair = read_pair(row, self.label_map, self.limits, self.reading)
            except RejectError as error:
                yield error
            else:
                yield Truth(pair.image, pair.mask, pair.image_sha256)


@dataclass(frozen=True)
class SplitRecords:
    """The unaugmented examples of a dataset's split; a shard is a TFRecord file."""

    dataset: Dataset

    def read(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]]
    ) -> Iterator[Truth | RejectError]:
        """Reads the file once, from front to back.

        Raises:
            UsageError: It is no longer what the dataset's record says.
        """
        path = self.dataset.folder / shard.group
        self.dataset.check_shard(shard.group)
        wanted = {row["position"]: row["image_sha256"] for row in rows}
        for position, frame in enumerate(read_frames(path)):
            if position in wanted:
                record = decode_example(frame)
                yield Truth(_decode(record.image), _decode(record.mask), wanted[position])


@dataclass(frozen=True)
class SplitPlan:
    """Plans a split's examples, variant 0, by TFRecord file and position."""

    dataset: Dataset
    split: str

    def __call__(self, folder: Path) -> Planned:
        """Writes the plan into the run folder `folder`.

        Raises:
            UsageError: The split is missing or empty, or a shard is not the recorded one.
        """
        self.dataset.check_shards([self.split])
        index = [
            str(self.dataset.folder / file["path"])
            for file in self.dataset.record["files"]
            if file["path"].startswith("index/")
        ]
        query = (
            'SELECT shard AS shard_group, 0 AS weight, key, shard, position, "group", '
            "image_sha256, NULL::VARCHAR AS image_uri, NULL::VARCHAR AS mask_uri, "
            "NULL::VARCHAR AS code, NULL::VARCHAR AS message FROM read_parquet($index) "
            "WHERE split = $split AND variant = 0 ORDER BY shard, position"
        )
        with connect(folder / "spill") as connection:
            rows: pa.RecordBatchReader = connection.sql(
                query, params={"index": index, "split": self.split}
            ).to_arrow_reader(ROWS_AT_ONCE)
            summary = PlanWriter(folder, lambda _: 1 << 62).write(rows)
        if not summary.rows:
            raise UsageError(f"dataset {self.dataset.folder}: split {self.split!r} has no examples")
        return Planned(summary)


def _decode(data: bytes) -> NDArray[Any]:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
        return np.asarray(image)
