"""What each architecture costs with each backbone; writes docs/results/models.md.

    python -m benchmarks.models            all of them at 256x256: about fifteen minutes
    python -m benchmarks.models --quick    each with its own backbone at 64x64; only prints

Weights are random: they change none of the figures.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import ROOT, origin
from segflow.models.backbones import BACKBONES, NO_BACKBONE
from segflow.models.registry import ARCHITECTURES, build_model
from segflow.train.quiet import quiet_import

with quiet_import():
    import keras
    import tensorflow as tf

    from segflow.train.cost import floating_point_operations

TABLE = ROOT / "docs" / "results" / "models.md"

_CLASSES = 19
_BATCH = 8
_SECONDS = 3.0


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: Numbers that training sets, and the moving statistics.
        multiply_adds: Of one image.
        file_bytes: Of model.keras.
        images_per_second: In float32, in batches of eight, on the CPUs of this machine.
    """

    parameters: int
    multiply_adds: float
    file_bytes: int
    images_per_second: float


def variants(quick: bool) -> Iterator[tuple[str, str]]:
    """Architecture and backbone of each row."""
    for name, entry in ARCHITECTURES.items():
        own = entry.parameters.get("backbone")
        if own is None or own == NO_BACKBONE:
            yield name, NO_BACKBONE
        if own is not None:
            yield from ((name, b) for b in BACKBONES if b == own or not quick)


def measure(name: str, backbone: str, size: int) -> Cost:
    """Builds a model for square images and measures it."""
    keras.backend.clear_session()
    parameters = {} if backbone == NO_BACKBONE else {"backbone": backbone}
    model = build_model(name, (size, size), _CLASSES, parameters)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.keras"))
        file_bytes = Path(folder, "model.keras").stat().st_size
    return Cost(
        parameters=model.count_params(),
        multiply_adds=floating_point_operations(model) / 2,
        file_bytes=file_bytes,
        images_per_second=_speed(model, size),
    )


def _speed(model: keras.Model, size: int) -> float:
    function = tf.function(lambda x: model(x, training=False), jit_compile=False)
    pixels = np.random.default_rng(0).uniform(0, 255, (_BATCH, size, size, 3))
    batch = tf.constant(pixels.astype(np.float32))
    function(batch)
    times = []
    while sum(times) < _SECONDS or len(times) < 3:
        start = time.perf_counter()
        function(batch).numpy()
        times.append(time.perf_counter() - start)
    return _BATCH / float(np.median(times))


def table(costs: dict[tuple[str, str], Cost], size: int) -> str:
    """The page, in Markdown."""
    lines = [
        "# What the models cost",
        "",
        f"{origin()}. Made by `python -m benchmarks.models`: images of {size}x{size}, "
        f"{_CLASSES} classes, the defaults of each architecture, float32 on TensorFlow, batches "
        f"of {_BATCH}. Multiply-adds are half of the floating-point operations of one image, as "
        "`bundle.json` counts them; TensorFlow pads for atrous convolutions, and that is counted "
        "too.",
        "",
        "| architecture | backbone | parameters, M | multiply-adds, G | file, MB | images/s |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [row(*key, cost) for key, cost in costs.items()]
    return "\n".join(lines) + "\n"


def row(name: str, backbone: str, cost: Cost) -> str:
    """A line of the table."""
    return (
        f"| {name} | {backbone} | {cost.parameters / 1e6:.2f} | {cost.multiply_adds / 1e9:.2f} "
        f"| {cost.file_bytes / 1e6:.1f} | {cost.images_per_second:.1f} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measures every variant and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and small; nothing written")
    quick = parser.parse_args(argv).quick
    size = 64 if quick else 256
    costs = {}
    for name, backbone in variants(quick):
        costs[name, backbone] = measure(name, backbone, size)
        print(row(name, backbone, costs[name, backbone]), flush=True)
    if not quick:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(table(costs, size), encoding="utf-8")
        print(f"written: {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
