"""Peak memory of ingest and label on a small and on a ten times larger collection.

    python -m benchmarks.memory            500 and 5,000 images; writes docs/results/memory.md
    python -m benchmarks.memory --quick    100 and 1,000 images, once; only prints

Exit code 1 if a peak grows by more than the noise, which is what the same command on the same
images differs by from one repetition to the next.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT, origin
from benchmarks.process_memory import Peaks, measure
from segflow.drawing import LABEL_MAP, DrawnDataset, draw_dataset
from tests.bundles import write_bundle

_SIZE = (96, 128)  # height, width
_RESULT = ROOT / "docs" / "results" / "memory.md"
_REPETITIONS = 3
_LEAST_NOISE = 16 * 2**20  # bytes; a few repetitions may agree by chance
# Small shards: so that both workers are at work on the small collection too.
_FLAGS = ("--direct_num_workers=2", "--shard-size=32")


@dataclass(frozen=True)
class Row:
    """A job measured several times on a number of images."""

    job: str
    images: int
    repetitions: Sequence[Peaks]

    def median(self, of: str) -> float:
        """Of a field of `Peaks`."""
        return statistics.median(getattr(peaks, of) for peaks in self.repetitions)

    @property
    def noise(self) -> float:
        """How far the repetitions lie apart, in bytes."""
        trees = [peaks.tree for peaks in self.repetitions]
        return max(trees) - min(trees)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, nothing written")
    quick = parser.parse_args(argv).quick
    counts, repetitions = ((100, 1000), 1) if quick else ((500, 5000), _REPETITIONS)
    with tempfile.TemporaryDirectory(prefix="segflow-memory-") as folder:
        rows = list(_measure(Path(folder), counts, repetitions))
    text = _text(rows)
    print(text)
    if not quick:
        _RESULT.parent.mkdir(parents=True, exist_ok=True)
        _RESULT.write_text(text + "\n", encoding="utf-8")
    return int(any(_grows(*_of(rows, job)) for job in ("ingest", "label")))


def _measure(folder: Path, counts: Sequence[int], repetitions: int) -> Iterator[Row]:
    model = _untrained_bundle(folder / "model")
    drawn = {n: draw_dataset(folder / f"{n}", examples=n, size=_SIZE, broken=False) for n in counts}
    for job in ("ingest", "label"):
        for count, pairs in drawn.items():
            found = []
            for number in range(repetitions):
                output = folder / f"{job}-{count}-{number}"
                words = _ingest(pairs) if job == "ingest" else _label(pairs, model)
                found.append(measure([*words, f"--output={output}", *_FLAGS]))
                print(f"{job} {count}: {_line(found[-1])}", file=sys.stderr, flush=True)
            yield Row(job, count, found)


def _ingest(pairs: DrawnDataset) -> list[str]:
    return [
        *("ingest", "--layout=paired", f"--images={pairs.images}", f"--masks={pairs.masks}"),
        *(f"--label-map={pairs.label_map}", f"--image-size={_SIZE[0]}x{_SIZE[1]}"),
    ]


def _label(pairs: DrawnDataset, model: Path) -> list[str]:
    return ["label", f"--model={model}", f"--images={pairs.images}"]


def _untrained_bundle(folder: Path) -> Path:
    from segflow.models.unet import build_unet

    model = build_unet(image_size=_SIZE, num_classes=LABEL_MAP.num_classes, filters=8, depth=2)
    return write_bundle(folder, LABEL_MAP, _SIZE, model=model)


def _of(rows: Sequence[Row], job: str) -> tuple[Row, Row]:
    few, many = (row for row in rows if row.job == job)
    return few, many


def _noise(few: Row, many: Row) -> float:
    return max(few.noise, many.noise, _LEAST_NOISE)


def _grows(few: Row, many: Row) -> bool:
    return many.median("tree") - few.median("tree") > _noise(few, many)


def _text(rows: Sequence[Row]) -> str:
    lines = [
        "# Peak memory",
        "",
        f"{origin()}. Made by `python -m benchmarks.memory`.",
        "",
        "Peaks of the command with all its worker processes, in MiB of proportional set size; the",
        "median of repetitions, and how far these lie apart (noise). Drawn images of "
        f"{_SIZE[1]}x{_SIZE[0]} pixels, `{' '.join(_FLAGS)}`; label with an untrained U-Net.",
        "",
        "| job | images | seconds | launcher | largest worker | all processes | noise |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        numbers = [_mib(row.median(of)) for of in ("launcher", "worker", "tree")]
        cells = [row.job, f"{row.images:,}", f"{row.median('seconds'):.0f}", *numbers]
        lines.append(f"| {' | '.join([*cells, _mib(row.noise)])} |")
    return "\n".join([*lines, "", *(_verdict(*_of(rows, job)) for job in ("ingest", "label"))])


def _verdict(few: Row, many: Row) -> str:
    growth = many.median("tree") - few.median("tree")
    says = "grows" if _grows(few, many) else "does not grow beyond the noise"
    return (
        f"- {few.job}: {growth / 2**20:+.0f} MiB from {few.images:,} to {many.images:,} images "
        f"with a noise of {_mib(_noise(few, many))} MiB: {says}."
    )


def _line(peaks: Peaks) -> str:
    parts = (f"{of} {_mib(getattr(peaks, of))}" for of in ("launcher", "worker", "tree"))
    return f"{', '.join(parts)} MiB, {peaks.seconds:.0f} s"


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f}"


if __name__ == "__main__":
    sys.exit(main())
