"""Re-reading an output folder: counts, checksums, and what the files themselves say."""

from collections.abc import Callable, Iterator
from pathlib import Path

from segflow.errors import UsageError
from segflow.verify import bundle, dataset, evaluation, labels

_CHECKS: dict[str, tuple[str, Callable[[Path], Iterator[str]]]] = {
    "dataset.json": ("dataset", dataset.problems),
    "bundle.json": ("model bundle", bundle.problems),
    "metrics.json": ("evaluation", evaluation.problems),
    "runs": ("labels", labels.problems),
}


def verify(folder: Path | str) -> tuple[str, list[str]]:
    """Checks a committed output folder against its own records.

    Args:
        folder: A dataset, model bundle, evaluation, or labels.

    Returns:
        What kind of folder it is, and every problem found, one line each.

    Raises:
        UsageError: The folder is missing or holds no commit record.
    """
    folder = Path(folder)
    for name, (kind, problems) in _CHECKS.items():
        if (folder / name).exists():
            return kind, list(problems(folder))
    state = "holds no commit record" if folder.is_dir() else "does not exist"
    raise UsageError(f"{folder}: {state}; expected {', '.join(_CHECKS)} in it")
