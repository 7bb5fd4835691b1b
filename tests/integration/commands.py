"""Runs the program as a user would: as a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`segflow WORDS…` with stdout and stderr captured; any exit code."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines.main", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def segflow(*words: object) -> str:
    """`segflow WORDS…`, which must succeed; what it printed to stdout."""
    done = run(*words)
    assert done.returncode == 0, _story(words, done)
    return done.stdout


def _story(words: Sequence[object], done: subprocess.CompletedProcess[str]) -> str:
    return f"segflow {' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
