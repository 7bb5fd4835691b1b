"""Runs the programs, in this process or as a user does, and reads what they say."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines import main

# Lines on stderr that report progress and are no complaint; and that a split is empty, as it may
# well be of the few pairs that tests draw.
_PROGRESS = re.compile(
    r"layout \w+: |\w+: going on with run |\w+: run \S+, refused .*, is removed|"
    r".*: complete already, |warning: no example in |"
    r"survey: \d+ pairs read|"
    r"source \w+: |known bytes: \d+ images |"
    r"ensemble: fitting |ensemble: scoring |.*: this (?:ensemble|bundle) is finished; |"
    r"sweep: trial \d+ |sweep: all \d+ combinations |"
    r"\w+: \d+ of \d+ (shards|images), .* images/s|train: epoch \d+ of |"
    r"reference: |"
    r"building [^;]+; its first step |find-rate: step |scoring the weights of epoch \d+ on |$"
)
IN_MEMORY = "--direct_running_mode=in_memory"
BEAM_COMMANDS = ("ingest", "evaluate", "label")


@dataclass(frozen=True)
class Ran:
    """How a command ended: exit code, stdout, and stderr without its progress lines."""

    code: int
    out: str
    errors: list[str]

    @property
    def line(self) -> str:
        """The only line of complaint."""
        assert len(self.errors) == 1, "\n".join(self.errors)
        return self.errors[0]


def run_here(capfd: pytest.CaptureFixture[str], command: str, *flags: object) -> Ran:
    """Runs `segflow COMMAND` in this process, Beam's workers included."""
    words = [command, *map(str, flags)]
    if command in BEAM_COMMANDS:
        words.append(IN_MEMORY)
    capfd.readouterr()
    code = main.main(words)
    captured = capfd.readouterr()
    return Ran(code, captured.out, complaints(captured.err))


def run_program(*words: object, folder: Path | None = None, module: str | None = None) -> Ran:
    """Runs `segflow WORDS`, or `python -m MODULE WORDS`, in a process of its own.

    Args:
        *words: The command line behind the program's name.
        folder: Where to run.
        module: The module to run instead of the installed program.
    """
    program = [str(Path(sys.executable).with_name("segflow"))]
    if module is not None:
        program = [sys.executable, "-m", module]
    done = subprocess.run(
        [*program, *map(str, words)],
        cwd=folder,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    return Ran(done.returncode, done.stdout, complaints(done.stderr))


def complaints(stderr: str) -> list[str]:
    """Lines of stderr that are no progress."""
    return [line for line in stderr.splitlines() if not _PROGRESS.match(line)]
