"""What it costs to decode in processes of their own: images a second with and without.

    python -m benchmarks.containment            writes docs/results/containment.md
    python -m benchmarks.containment --quick    few images and rounds; only prints

As many workers as there are cores do what ingest does to a pair (read, decode, check, resize,
encode). Rounds with containment and rounds without alternate, each on all pairs, so that what
else the machine does strikes both; the table gives the median of the ratios of neighbours, and
what a pair takes of all processors together. Exit code 1 if containment costs a tenth of the
throughput or more.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.machine import ROOT, origin
from segflow.data import contained
from segflow.data.ahead import make_ahead
from segflow.data.config import ExampleConfig
from segflow.data.decoder import decode
from segflow.data.making import Recipe, make
from segflow.data.records import encode_example
from segflow.drawing import LABEL_MAP, draw_dataset
from segflow.jobs.cores import available_cores

_RESULT = ROOT / "docs" / "results" / "containment.md"
_RECIPE = Recipe(ExampleConfig(image_size="256x256"), LABEL_MAP)
_SIZES = ((360, 480), (96, 128), (1080, 1920))  # height, width
_LEAST_RATIO = 0.9

Rows = Sequence[Mapping[str, str]]
Work = Callable[[Rows], None]


@dataclass(frozen=True)
class Round:
    """Pairs a second, and seconds that a pair takes of all processors together."""

    speed: float
    cpu_seconds: float


@dataclass(frozen=True)
class Result:
    """What was measured, round by round.

    Attributes:
        size: (height, width) of the sources, in pixels.
        contained: With decoder processes.
        direct: Without; the round at the same place was its neighbour.
    """

    size: tuple[int, int]
    contained: Sequence[Round]
    direct: Sequence[Round]

    @property
    def ratio(self) -> float:
        """Contained to direct, the median of the neighbours."""
        return statistics.median(self.ratios)

    @property
    def ratios(self) -> Sequence[float]:
        """Contained to direct, of neighbours."""
        rounds = zip(self.contained, self.direct, strict=True)
        return [contained.speed / direct.speed for contained, direct in rounds]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.containment", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, nothing written")
    quick = parser.parse_args(argv).quick
    pairs, rounds = (40, 3) if quick else (400, 31)
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
    found: dict[Work, list[Round]] = {_contained: [], _direct: []}
    with (
        ProcessPoolExecutor(workers, context) as contained_pool,
        ProcessPoolExecutor(workers, context) as direct_pool,
    ):
        pools = {_contained: contained_pool, _direct: direct_pool}
        for work, pool in pools.items():
            _round(pool, work, rows, workers)  # starts all processes
        for number in range(rounds):
            for work in (_contained, _direct) if number % 2 else (_direct, _contained):
                found[work].append(_round(pools[work], work, rows, workers))
    return Result(size, found[_contained], found[_direct])


def _round(pool: ProcessPoolExecutor, work: Work, rows: Rows, workers: int) -> Round:
    began = time.perf_counter()
    parts = 4 * workers
    taken = pool.map(_cpu_seconds, [work] * parts, [rows[i::parts] for i in range(parts)])
    cpu_seconds = sum(taken) / len(rows)
    return Round(len(rows) / (time.perf_counter() - began), cpu_seconds)


def _cpu_seconds(work: Work, rows: Rows) -> float:
    """Does the work; returns what it took of the processors, this process's and its children's."""
    processes = [psutil.Process(), *psutil.Process().children()]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    work(rows)
    return sum(sum(process.cpu_times()[:2]) for process in processes) - before


def _contained(rows: Rows) -> None:
    for _, examples in make_ahead(rows, 0, _RECIPE):
        for made in examples:
            encode_example(made.record)


def _direct(rows: Rows) -> None:
    """What ingest would do without containment."""
    contained.decode_here(decode)
    for row in rows:
        for made in make(row, 0, _RECIPE):
            encode_example(made.record)


def _text(results: Sequence[Result], rounds: int) -> str:
    return "\n".join(
        [
            "# Containment",
            "",
            f"{origin()}. Made by `python -m benchmarks.containment`.",
            "",
            "Pairs a second that ingest reads, decodes, resizes to 256x256 and encodes, on all",
            "cores: with decoder processes, and with decoding in the workers themselves. Medians",
            f"of {rounds} rounds of each, in turn; and milliseconds that a pair takes of all",
            "processors, those of worker and decoder together.",
            "",
            "| source, pixels | contained | direct | ratio | ms, contained | ms, direct |",
            "|---|---:|---:|---:|---:|---:|",
            *_rows(results),
        ]
    )


def _rows(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        both = (result.contained, result.direct)
        speeds = [f"{statistics.median(r.speed for r in of):.0f}" for of in both]
        taken = [f"{1000 * statistics.median(r.cpu_seconds for r in of):.2f}" for of in both]
        cells = [f"{result.size[1]}x{result.size[0]}", *speeds, f"{result.ratio:.2f}", *taken]
        yield f"| {' | '.join(cells)} |"


def _line(result: Result) -> str:
    ratios = result.ratios
    return f"{result.size}: {result.ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


if __name__ == "__main__":
    sys.exit(main())
