"""Training input beside its peers: augmented batches a second, without a model.

    python -m benchmarks.input            1,024 pairs of 256 x 256; writes docs/results/input.md
    python -m benchmarks.input --quick    96 pairs, once; only prints

Every reader decodes, augments and batches the same JPEG and PNG bytes, on all cores it can use;
segflow's reads TFRecords, the peers the same bytes as files. Rounds of all readers alternate, so
that what else the machine does strikes each. Decoding alone, by TensorFlow without augmentation, is
the limit.
"""

import argparse
import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from benchmarks.drawn import drawn_dataset
from benchmarks.input_peers import Pair, PairSequence, file_generator
from benchmarks.machine import ROOT, origin
from segflow.data import records
from segflow.dataset import Dataset
from segflow.drawing import LABEL_MAP
from segflow.train.augment_config import AugmentationConfig
from segflow.train.config import TrainConfig
from segflow.train.input import training_batches

_SIZE, _BATCH = 256, 16
_RESULT = ROOT / "docs" / "results" / "input.md"

Reader = Callable[[], Iterator[Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.input", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pairs, nothing written")
    quick = parser.parse_args(argv).quick
    count, rounds = (96, 1) if quick else (1024, 5)
    with tempfile.TemporaryDirectory(prefix="segflow-input-") as folder:
        dataset, pairs = _dataset(Path(folder), count)
        batches = dataset.split("train").examples // _BATCH
        rates: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, reader in _readers(dataset, pairs).items():
                rates.setdefault(name, []).append(_images_a_second(reader(), batches))
    text = _text(rates, batches * _BATCH)
    print(text)
    if not quick:
        _RESULT.write_text(text, encoding="utf-8")
    return 0


def _dataset(folder: Path, count: int) -> tuple[Dataset, list[Pair]]:
    """A drawn dataset, and the very bytes of its training split as files."""
    dataset = drawn_dataset(
        folder,
        count,
        (_SIZE, _SIZE),
        broken=True,
        splits="train=1",
        max_reject_fraction=0.5,  # for the broken files
    )
    (folder / "files").mkdir()
    frames = itertools.chain.from_iterable(map(records.read_frames, dataset.shard_paths("train")))
    pairs = []
    for index, record in enumerate(map(records.decode_example, frames)):
        pairs.append((folder / f"files/{index}.jpg", folder / f"files/{index}.png"))
        pairs[-1][0].write_bytes(record.image)
        pairs[-1][1].write_bytes(record.mask)
    return dataset, pairs


def _readers(dataset: Dataset, pairs: Sequence[Pair]) -> Mapping[str, Reader]:
    size = (_SIZE, _SIZE)
    geometry = AugmentationConfig(brightness=0, contrast=0, saturation=0, hue=0)
    config = TrainConfig(
        str(dataset.folder), "", batch_size=_BATCH, epochs=1_000_000, augmentation=geometry
    )
    plain = dataclasses.replace(config, augmentation=AugmentationConfig(enabled=False))
    full = dataclasses.replace(config, augmentation=AugmentationConfig())
    return {
        "limit: decoding alone": lambda: iter(training_batches(dataset, plain, 0)),
        "segflow": lambda: iter(training_batches(dataset, config, 0)),
        "segflow, with its changes of colour": lambda: iter(training_batches(dataset, full, 0)),
        "keras.utils.PyDataset": lambda: _sequence(PairSequence(pairs, size, _BATCH)),
        "keras.utils.PyDataset, 2 threads": lambda: _sequence(
            PairSequence(pairs, size, _BATCH, workers=2, max_queue_size=8)
        ),
        "image-segmentation-keras's way": lambda: file_generator(
            pairs, size, _BATCH, LABEL_MAP.num_classes
        ),
    }


def _sequence(sequence: PairSequence) -> Iterator[Any]:
    """As `fit` reads it, epoch after epoch."""
    adapter = keras.src.trainers.data_adapters.py_dataset_adapter.PyDatasetAdapter(
        sequence, shuffle=False
    )
    while True:
        yield from adapter.get_tf_dataset()
        adapter.on_epoch_end()


def _images_a_second(batches: Iterator[Any], count: int) -> float:
    for _ in range(3):  # starts the threads
        next(batches)
    began = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * _BATCH / (time.perf_counter() - began)


def _text(rates: Mapping[str, Sequence[float]], images: int) -> str:
    ours = statistics.median(rates["segflow"])
    lines = [
        "# Training input beside its peers",
        "",
        f"`python -m benchmarks.input`; {origin()}.",
        "",
        f"{images} images a round of {_SIZE} x {_SIZE} (JPEG, masks PNG) in batches of {_BATCH}: "
        f"decoded, flipped, rotated, magnified, and batched, without a model. Median of "
        f"{len(rates['segflow'])} interleaved rounds, and their range.",
        "",
        "| reader | images/s | range | segflow is so many times as fast |",
        "|---|---|---|---|",
    ]
    for name, some in rates.items():
        middle = statistics.median(some)
        spread = f"{min(some):.0f}-{max(some):.0f}"
        lines.append(f"| {name} | {middle:.0f} | {spread} | {ours / middle:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
