"""Peak memory of a command and of all processes that it starts."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

_POLL_S = 0.05


@dataclass
class Peaks:
    """Peaks in bytes.

    Attributes:
        tree: Largest sum of all processes' proportional set sizes (PSS: pages that several
            processes share count once), sampled every 50 ms.
        launcher: Largest PSS of the command's own process.
        worker: Largest PSS of any process that it started.
        seconds: How long the command ran.
    """

    tree: int = 0
    launcher: int = 0
    worker: int = 0
    seconds: float = field(default=0.0)

    def sample(self, process: psutil.Process) -> None:
        """Looks at a living command once."""
        workers = [_pss(child) for child in process.children(recursive=True)]
        launcher = _pss(process)
        self.launcher = max(self.launcher, launcher)
        self.worker = max([self.worker, *workers])
        self.tree = max(self.tree, launcher + sum(workers))


def measure(words: Sequence[str]) -> Peaks:
    """Runs `segflow WORDS…` to its end.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    peaks, began = Peaks(), time.monotonic()
    command = [sys.executable, "-m", "pipelines.main", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                peaks.sample(watched)
            time.sleep(_POLL_S)
        assert process.stderr is not None
        said = process.stderr.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said)
    peaks.seconds = time.monotonic() - began
    return peaks


def _pss(process: psutil.Process) -> int:
    """Proportional set size in bytes; 0 of a process that has just ended."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
