"""How often an epoch shows each training example."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segflow.dataset import Dataset
from segflow.errors import UsageError

_ROWS = 65536  # of the index at once
_COLUMNS = ["split", "shard", "position", "class_pixels"]


def class_balanced_shares(dataset: Dataset, split_name: str) -> NDArray[np.float64]:
    """The share of an epoch that each example should have, so that all classes are seen equally.

    Class-aware sampling (Shen, Lin and Huang 2016, https://arxiv.org/abs/1512.05830): draw one of
    the classes that occur, each as likely, then one of the examples that hold it. The share is
    the probability that an example is drawn.

    Args:
        dataset: Whose index is read, a part at a time.
        split_name: Which of its splits.

    Returns:
        float64 [examples], in stored order; they sum to 1. An example without a valid pixel has
        none.

    Raises:
        UsageError: The index does not list every example once, or no example has a valid pixel.
    """
    examples = dataset.split(split_name).examples
    holding = np.zeros(dataset.label_map.num_classes, np.int64)
    seen = np.zeros(examples, np.int8)
    for places, present in _presence(dataset, split_name):
        holding += present.sum(0)
        np.add.at(seen, places, 1)
    if not (seen == 1).all():
        raise UsageError(
            f"dataset {dataset.folder}: its index does not list every example of {split_name!r} "
            "once; run segflow verify, or sample without balance"
        )
    occur = holding > 0
    if not occur.any():
        raise UsageError(f"dataset {dataset.folder}: {split_name!r} has only ignored pixels")
    likelihood = np.divide(1 / occur.sum(), holding, out=np.zeros(len(holding)), where=occur)
    shares = np.zeros(examples)
    for places, present in _presence(dataset, split_name):
        shares[places] = present @ likelihood
    return shares


def _presence(
    dataset: Dataset, split_name: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Places of examples in their split, and which classes each holds: [n], [n, classes]."""
    starts, at = {}, 0
    for shard in dataset.split(split_name).shards:
        starts[shard.file] = at
        at += shard.examples
    for rows in _index_rows(dataset, split_name):
        first = np.array([starts[str(s)] for s in rows["shard"]], np.int64)
        pixels = rows["class_pixels"].combine_chunks().flatten().to_numpy()
        yield (
            first + rows["position"].to_numpy(),
            pixels.reshape(rows.num_rows, dataset.label_map.num_classes) > 0,
        )


def _index_rows(dataset: Dataset, split_name: str) -> Iterator[Any]:
    for file in dataset.record["files"]:
        if file["path"].startswith("index/"):
            with pq.ParquetFile(dataset.folder / file["path"]) as part:
                for batch in part.iter_batches(_ROWS, columns=_COLUMNS):
                    rows = pa.Table.from_batches([batch])
                    yield rows.filter(pc.equal(rows["split"], split_name))
