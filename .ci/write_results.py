"""Turns pytest's JUnit file into docs/results/full.md: one line per proof."""

import datetime
import os
import platform
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

OUTCOMES = {"failure": "FAILED", "error": "FAILED", "skipped": "left out"}


def main(junit: str, destination: str) -> None:
    """Writes the table, failed proofs first."""
    cases = list(ElementTree.parse(junit).getroot().iter("testcase"))
    cases.sort(key=lambda case: (_outcome(case) == "passed", _name(case)))
    lines = [
        "# The long proofs, last run",
        "",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}, "
        f"{_machine()}. Made by `make full`.",
        "",
        "| proof | result | seconds |",
        "|---|---|---:|",
        *(
            f"| {_name(case)} | {_outcome(case)} | {float(case.get('time', 0)):.0f} |"
            for case in cases
        ),
    ]
    Path(destination).parent.mkdir(parents=True, exist_ok=True)
    Path(destination).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _name(case: ElementTree.Element) -> str:
    test = case.get("name", "").removeprefix("test_").replace("_", " ")
    return f"{test} (`{case.get('classname', '').replace('.', '/')}.py`)"


def _outcome(case: ElementTree.Element) -> str:
    return next((OUTCOMES[child.tag] for child in case if child.tag in OUTCOMES), "passed")


def _commit() -> str:
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit} with uncommitted changes" if changed else commit


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
