"""What it costs to decode in processes of their own: images a second with and without.

    python -m benchmarks.containment            writes docs/results/containment.md
    python -m benchmarks.containment --quick    few images and rounds; only prints

As many workers as there are cores do what ingest does to a pair (read, decode, check, resize,
encode). Rounds with containment and rounds without alternate, each on all pairs, so that what
else the machine does strikes both; the table gives the median of the ratios of neighbours.
Exit code 1 if containment costs a tenth of the throughput or more.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT, origin
from segflow.data import contained, decode, masks
from segflow.data.config import ExampleConfig
from segflow.data.pair import make_examples, read_pair
from segflow.data.records import encode_example
from segflow.drawing import LABEL_MAP, draw_dataset
from segflow.jobs.runner import available_cores

_RESULT = ROOT / "docs" / "results" / "containment.md"
_CONFIG = ExampleConfig(image_size="256x256")
_SIZES = ((360, 480), (96, 128), (1080, 1920))  # height, width
_LEAST_RATIO = 0.9

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Result:
    """Pairs a second, round by round.

    Attributes:
        size: (height, width) of the sources, in pixels.
        contained: With decoder processes.
        direct: Without; the round at the same place was its neighbour.
    """

    size: tuple[int, int]
    contained: Sequence[float]
    direct: Sequence[float]

    @property
    def ratio(self) -> float:
        """Contained to direct, the median of the neighbours."""
        return statistics.median(c / d for c, d in zip(self.contained, self.direct, strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.containment", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, nothing written")
    quick = parser.parse_args(argv).quick
    pairs, rounds = (40, 3) if quick else (400, 15)
    results = []
    for size in _SIZES:
        with tempfile.TemporaryDirectory(prefix="segflow-containment-") as folder:
            rows = _draw(Path(folder), pairs if size[0] < 1000 else pairs // 4, size)
            results.append(_measure(rows, rounds, size))
        print(_line(results[-1]), file=sys.stderr, flush=True)
    text = _text(results, rounds)
    print(text)
    if not quick:
        _RESULT.write_text(text + "\n", encoding="utf-8")
    return int(any(result.ratio <= _LEAST_RATIO for result in results))


def _draw(folder: Path, pairs: int, size: tuple[int, int]) -> Rows:
    drawn = draw_dataset(folder, examples=pairs, size=size, broken=False)
    paths = {path.stem: path for path in sorted(drawn.masks.rglob("*.png"))}
    images = sorted(path for path in drawn.images.rglob("*") if path.is_file())
    return [
        {"key": path.stem, "image_uri": str(path), "mask_uri": str(paths[path.stem])}
        for path in images
        if path.stem in paths
    ]


def _measure(rows: Rows, rounds: int, size: tuple[int, int]) -> Result:
    context = multiprocessing.get_context("spawn")
    workers = available_cores()
    speeds: dict[bool, list[float]] = {True: [], False: []}
    with (
        ProcessPoolExecutor(workers, context) as contained_pool,
        ProcessPoolExecutor(workers, context, _decode_in_process) as direct_pool,
    ):
        pools = {True: contained_pool, False: direct_pool}
        for pool in pools.values():
            _round(pool, rows, workers)  # starts all processes
        for number in range(rounds):
            for is_contained in (True, False) if number % 2 else (False, True):
                speeds[is_contained].append(_round(pools[is_contained], rows, workers))
    return Result(size, speeds[True], speeds[False])


def _decode_in_process() -> None:
    """What ingest would do without containment."""
    contained.decode_rgb = decode.decode_rgb
    contained.decode_raw_mask = masks.decode_raw_mask


def _round(pool: ProcessPoolExecutor, rows: Rows, workers: int) -> float:
    began = time.perf_counter()
    parts = 4 * workers
    list(pool.map(_work, [rows[i::parts] for i in range(parts)]))
    return len(rows) / (time.perf_counter() - began)


def _work(rows: Rows) -> None:
    for row in rows:
        pair = read_pair(row, LABEL_MAP, _CONFIG.limits)
        name = Path(row["image_uri"]).name
        for example in make_examples(pair, row["key"], name, 0, _CONFIG, LABEL_MAP):
            encode_example(example.record)


def _text(results: Sequence[Result], rounds: int) -> str:
    return "\n".join(
        [
            "# Containment",
            "",
            f"{origin()}. Made by `python -m benchmarks.containment`.",
            "",
            "Pairs a second that ingest reads, decodes, resizes to 256x256 and encodes, on all",
            "cores: with decoder processes, and with decoding in the workers themselves. Medians",
            f"of {rounds} rounds of each, in turn.",
            "",
            "| source, pixels | contained | direct | ratio |",
            "|---|---:|---:|---:|",
            *_rows(results),
        ]
    )


def _rows(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        size = f"{result.size[1]}x{result.size[0]}"
        speeds = (statistics.median(of) for of in (result.contained, result.direct))
        yield f"| {size} | {' | '.join(f'{s:.0f}' for s in speeds)} | {result.ratio:.2f} |"


def _line(result: Result) -> str:
    ratios = [c / d for c, d in zip(result.contained, result.direct, strict=True)]
    return f"{result.size}: {result.ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


if __name__ == "__main__":
    sys.exit(main())
