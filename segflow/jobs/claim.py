"""Output folders that one process fills, and that are complete with their one record."""

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow.jobs.launch import refuse_other_output, require_free
from segflow.lock import lock


@contextlib.contextmanager
def claimed(
    output: Path,
    record_name: str,
    own: Collection[str],
    mark: str,
    config: Mapping[str, Any],
    console: Console,
) -> Iterator[Path | None]:
    """Holds an output folder for the body, which makes the output in a fresh folder inside.

    Args:
        output: The output folder.
        record_name: Of the file that is written last, with what is asked for as its `config`.
        own: Names of all else that the output may consist of.
        mark: A folder in it for work; it goes unless `publishing` was broken off.
        config: What is asked for now.
        console: Where it is said that nothing is left to do.

    Yields:
        The folder to work in; None: the output is complete.

    Raises:
        UsageError: Other things lie in the folder, or another process works there.
    """
    if not (output / record_name).is_file():
        require_free(output, own, mark)
    with lock(output, mark):
        if (output / record_name).is_file():
            refuse_other_output(output, record_name, config)
            message = f"{output}: complete already, nothing left to do"
            console.print(message, highlight=False, markup=False)
            yield None
        else:
            with _fresh(output / mark / "work") as work:
                yield work


@contextlib.contextmanager
def publishing(output: Path, mark: str) -> Iterator[None]:
    """Keeps the mark if the body, which moves what was made to its place, does not come to its end.

    Without it, what the body has moved would be taken for somebody else's.
    """
    note = output / mark / "publishing"
    note.touch()
    yield
    note.unlink()


@contextlib.contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """An empty folder, in place of one that a kill has left; it goes with all it holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
