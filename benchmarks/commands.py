"""segflow's own commands, run as a user would, and what they leave."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from segflow import storage


def segflow(*words: str) -> None:
    """Runs a command; its progress goes to the terminal.

    Raises:
        SystemExit: It failed, and has said why.
    """
    code = subprocess.run([sys.executable, "-m", "pipelines.main", *words], check=False).returncode
    if code:
        sys.exit(code)


def trained(output: Path, *words: str) -> dict[str, Any]:
    """Trains, or goes on with a training, and returns `bundle.json`."""
    segflow("train", f"--output={output}", *words, *(["--resume"] if output.exists() else []))
    return dict(storage.read_json(output / "bundle.json"))


def evaluated(output: Path, *words: str) -> dict[str, Any]:
    """Evaluates and returns `metrics.json`."""
    segflow("evaluate", f"--output={output}", *words)
    return dict(storage.read_json(output / "metrics.json"))


def for_a_try(epochs: int | None) -> list[str]:
    """Flags that make a recipe short: without its warm-up, which takes all of a single epoch."""
    return [] if epochs is None else [f"--epochs={epochs}", "--schedule-options.warmup-epochs=0"]


def camvid_dataset(camvid: Path, output: Path, size: str) -> Path:
    """CamVid of the SegNet tutorial, without copies."""
    segflow(
        *("ingest", "--layout=camvid", f"--images={camvid}", f"--label-map={camvid}/labels.json"),
        *(f"--image-size={size}", f"--output={output}"),
    )
    return output
