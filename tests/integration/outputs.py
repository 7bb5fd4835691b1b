"""What a reader sees of an output folder."""

import hashlib
import os
import re
from pathlib import Path

from segflow.jobs.run import Run, complete_runs


def only_run(output: Path) -> Run:
    """The folder's only run."""
    (run,) = complete_runs(output)
    return run


def visible(output: Path) -> list[Path]:
    """Files that a reader sees, relative to the folder: no part of their path starts with _ or ."""
    found = []
    for folder, folders, names in os.walk(output):
        folders[:] = [name for name in folders if name[0] not in "._"]
        found += [Path(folder, name).relative_to(output) for name in names if name[0] not in "._"]
    return sorted(found)


def contents(output: Path) -> dict[str, str]:
    """SHA-256 of the visible files but the pages, names and times of the run set aside."""
    run = next(iter(complete_runs(output)), None)
    aside = [(str(output), "OUTPUT")]
    if run is not None:
        aside += [(run.name, "RUN"), (run.started, "STARTED")]
    digests = {}
    for path in visible(output):
        name, data = str(path), (output / path).read_bytes()
        if path.suffix == ".html":
            continue
        for found, general in aside:
            name = name.replace(found, general)
            if path.suffix in (".json", ".sql", ".csv"):
                data = data.replace(found.encode(), general.encode())
        if path.suffix == ".json":
            data = re.sub(rb'"finished": "[^"]+"', b'"finished": "FINISHED"', data)
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests
