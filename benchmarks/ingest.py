"""Throughput of ingest with and without augmented copies, beside plain Pillow doing the same work.

    python -m benchmarks.ingest            1,200 pairs, three times; writes docs/results/ingest.md
    python -m benchmarks.ingest --quick    60 pairs, once; only prints

One worker in this process against one process of plain Pillow. The limit is what Pillow needs to
read, decode, resize and encode, and for each copy to transform image and mask, recolour and encode:
with no checks, no records, no index, and nothing written.
"""

import argparse
import io
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from rich.console import Console

from benchmarks.machine import ROOT, origin
from segflow.data.augment_config import PRESETS, AugmentationConfig
from segflow.data.command import ingest
from segflow.data.config import DecodeLimits, ExampleConfig, IngestConfig
from segflow.data.pair import read_pair, resize_pair
from segflow.drawing import LABEL_MAP, DrawnDataset, draw_dataset

_SOURCE = (360, 480)  # height, width
_STORED = (256, 256)
_COPIES = 4
_DRAWN = 60  # different pairs; the others are these under other names
_FLAGS = ("--direct_running_mode=in_memory", "--direct_num_workers=1")
_RESULT = ROOT / "docs" / "results" / "ingest.md"

_TURN = (math.cos(0.1), math.sin(0.1), 3.0, -math.sin(0.1), math.cos(0.1), 5.0)
_COLOURS = (1.1, 0.05, 0.05, 2.0, 0.05, 1.1, 0.05, 2.0, 0.05, 0.05, 1.1, 2.0)


@dataclass(frozen=True)
class Case:
    """What is asked of ingest."""

    name: str
    copies: int = 0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


CASES = (
    Case("no copies"),
    *(
        Case(f"{_COPIES} copies, `{preset}`", _COPIES, AugmentationConfig(preset=preset))
        for preset in PRESETS
        if preset != "none"
    ),
)


@dataclass(frozen=True)
class Row:
    """A case measured: wall seconds of ingest, from planning to commit, and of plain Pillow."""

    case: Case
    pairs: int
    seconds: float
    limit: float

    @property
    def examples(self) -> int:
        """Stored ones."""
        return self.pairs * (1 + self.case.copies)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pairs, nothing written")
    quick = parser.parse_args(argv).quick
    count, repetitions = (60, 1) if quick else (1200, 3)
    with tempfile.TemporaryDirectory(prefix="segflow-ingest-") as folder:
        pairs = _draw(Path(folder) / "pairs", count)
        _seconds(pairs, Path(folder), CASES[0])  # imports Beam, reads the files into memory
        rows = [_measure(Path(folder), case, pairs, repetitions) for case in CASES]
        text = _text(rows, _resizing(pairs), repetitions)
    print(text)
    if not quick:
        _RESULT.parent.mkdir(parents=True, exist_ok=True)
        _RESULT.write_text(text + "\n", encoding="utf-8")
    return 0


def _draw(folder: Path, count: int) -> DrawnDataset:
    drawn = draw_dataset(folder, examples=min(count, _DRAWN), size=_SOURCE, broken=False)
    for kind in (drawn.images, drawn.masks):
        originals = sorted(kind.iterdir())
        for number in range(len(originals), count):
            original = originals[number % len(originals)]
            shutil.copy(original, kind / f"again-{number}{original.suffix}")
    return drawn


def _measure(folder: Path, case: Case, pairs: DrawnDataset, repetitions: int) -> Row:
    """The medians of the repetitions."""
    paths = list(_paths(pairs))
    seconds, limits = [], []
    for _ in range(repetitions):
        seconds.append(_seconds(pairs, folder, case))
        limits.append(_plain_seconds(paths, case.copies))
        print(f"{case.name}: {seconds[-1]:.1f} s, limit {limits[-1]:.1f} s", file=sys.stderr)
    return Row(case, len(paths), statistics.median(seconds), statistics.median(limits))


def _seconds(pairs: DrawnDataset, folder: Path, case: Case) -> float:
    config = IngestConfig(
        **{"images": str(pairs.images), "masks": str(pairs.masks), "layout": "paired"},
        **{"label_map": str(pairs.label_map), "splits": "train=1"},
        image_size=f"{_STORED[0]}x{_STORED[1]}",
        augment_copies=case.copies,
        augmentation=case.augmentation,
        output=str(folder / "output"),
    )
    began = time.perf_counter()
    try:
        ingest(config, _FLAGS, Console(file=io.StringIO()))
        return time.perf_counter() - began
    finally:
        shutil.rmtree(folder / "output", ignore_errors=True)


def _paths(pairs: DrawnDataset) -> Iterator[tuple[Path, Path]]:
    for image in sorted(pairs.images.iterdir()):
        yield image, pairs.masks / f"{image.stem}.png"


def _plain_seconds(paths: Sequence[tuple[Path, Path]], copies: int) -> float:
    began = time.perf_counter()
    for image, mask in paths:
        _plain(image, mask, copies)
    return time.perf_counter() - began


def _plain(image_path: Path, mask_path: Path, copies: int) -> None:
    size = _STORED[::-1]
    image, mask = Image.open(image_path).convert("RGB"), Image.open(mask_path)
    image = image.resize(size, Image.Resampling.BILINEAR)
    mask = mask.resize(size, Image.Resampling.NEAREST)
    _encode(image, mask)
    affine = Image.Transform.AFFINE
    for _ in range(copies):
        turned = image.transform(size, affine, _TURN, Image.Resampling.BILINEAR)
        ids = mask.transform(size, affine, _TURN, Image.Resampling.NEAREST)
        _encode(turned.convert("RGB", _COLOURS), ids)


def _encode(image: Image.Image, mask: Image.Image) -> None:
    image.save(io.BytesIO(), "JPEG", quality=95)
    mask.save(io.BytesIO(), "PNG", compress_level=1)


def _resizing(pairs: DrawnDataset) -> float:
    """Seconds that resizing a pair takes, once for all its copies."""
    image, mask = next(_paths(pairs))
    row = {"image_uri": str(image), "mask_uri": str(mask)}
    pair = read_pair(row, LABEL_MAP, DecodeLimits())
    config = ExampleConfig(image_size=f"{_STORED[0]}x{_STORED[1]}")
    taken = []
    for _ in range(100):
        began = time.perf_counter()
        resize_pair(pair, config, LABEL_MAP)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _text(rows: Sequence[Row], resizing: float, repetitions: int) -> str:
    lines = [
        "# Throughput of ingest",
        "",
        f"{origin()}. Made by `python -m benchmarks.ingest`; median of {repetitions}.",
        "",
        f"{rows[0].pairs:,} drawn pairs of {_SOURCE[1]}x{_SOURCE[0]} pixels to "
        f"{_STORED[1]}x{_STORED[0]} JPEG and PNG,",
        "by one worker, from planning to commit. The limit is plain Pillow in one process: read,",
        "decode, resize, encode; for each copy one affine transform of image and mask, one colour",
        "matrix, and encoding.",
        "",
        "| copies | examples | seconds | examples/s | limit | share | ms a copy | its limit |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *(_line(row, rows[0]) for row in rows), "", _remark(resizing)])


def _line(row: Row, without: Row) -> str:
    cells = [
        *(row.case.name, f"{row.examples:,}", f"{row.seconds:.1f}"),
        *(f"{row.examples / row.seconds:.0f}", f"{row.examples / row.limit:.0f}"),
        f"{row.limit / row.seconds:.2f}",
    ]
    copies = row.pairs * row.case.copies
    extra = (row.seconds - without.seconds, row.limit - without.limit)
    cells += [f"{seconds / copies * 1000:.1f}" if copies else "" for seconds in extra]
    return f"| {' | '.join(cells)} |"


def _remark(resizing: float) -> str:
    return (
        "`ms a copy` is what one copy more takes. A pair is resized once for all its copies: that "
        f"would be {resizing * 1000:.1f} ms more for each."
    )


if __name__ == "__main__":
    sys.exit(main())
