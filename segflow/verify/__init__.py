"""Re-reading an output folder: counts, checksums, and what the files themselves say."""

from collections.abc import Callable, Iterator
from pathlib import Path

from segflow import outputs
from segflow.errors import UsageError
from segflow.verify import bundle, dataset, evaluation, labels, rates, sweep

_CHECKS: dict[outputs.Kind, Callable[[Path], Iterator[str]]] = {
    outputs.DATASET: dataset.problems,
    outputs.BUNDLE: bundle.problems,
    outputs.EVALUATION: evaluation.problems,
    outputs.LABELS: labels.problems,
    outputs.RATES: rates.problems,
    outputs.SWEEP: sweep.problems,
}


def verify(folder: Path | str) -> tuple[str, list[str]]:
    """Checks a committed output folder against its own records.

    Args:
        folder: A dataset, model bundle, evaluation, labels, or rate test.

    Returns:
        What kind of folder it is, and every problem found, one line each.

    Raises:
        UsageError: The folder is missing or holds no commit record.
    """
    folder = Path(folder)
    kind = outputs.find_kind(folder)
    found: list[str] = []
    try:
        outputs.read_records(folder, kind)
        for problem in _CHECKS[kind](folder):
            found.append(problem)
    except UsageError as error:
        found.append(str(error))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        found.append(f"{folder / kind.records}: not as segflow writes it: {error!r}")
    return kind.name, found
