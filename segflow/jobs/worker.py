"""A local worker process: Beam's SDK harness, which does not outlive its launcher.

Beam's own worker would first finish its bundle, which may be half the job, and then write into
an output folder that a new run may be at work in.
"""

import os
import shlex
import sys
import threading
import time

_POLL_S = 0.5
_ORPHANED = 1


def command(launcher: int) -> str:
    """The shell command that starts a worker of the process `launcher`."""
    # exec: no shell between the two, so that the launcher is the worker's parent. -P: a folder
    # called segflow where the command is run must not stand in for the package.
    return f"exec {shlex.quote(sys.executable)} -P -m {__name__} {launcher}"


def main(launcher: int) -> None:
    """Serves the launcher until it has no more work or is dead."""
    threading.Thread(target=_die_with, args=(launcher,), daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main  # takes seconds: watched from here on

    sdk_worker_main.main(sys.argv)


def _die_with(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_POLL_S)
    os._exit(_ORPHANED)  # at once: a shard is complete or absent, however its worker ends


if __name__ == "__main__":
    main(int(sys.argv[1]))
