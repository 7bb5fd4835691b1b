"""HTML reports: one self-contained page for any output folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from segflow import outputs, storage
from segflow.errors import UsageError
from segflow.report import comparison, dataset, evaluation, labels, model, rates, review, sweep

REPORT_NAME = "report.html"

_PAGES: dict[outputs.Kind, Callable[[Path], str]] = {
    outputs.DATASET: dataset.page,
    outputs.BUNDLE: model.page,
    outputs.EVALUATION: evaluation.page,
    outputs.LABELS: labels.page,
    outputs.RATES: rates.page,
    outputs.SWEEP: sweep.page,
}


def draw(folder: Path | str) -> Path:
    """Draws the report of an output folder anew; equal folders give equal reports.

    Of labels, also the page of the newest review list.

    Args:
        folder: A committed dataset, model bundle, evaluation, labels, rate test, or sweep.

    Returns:
        The path of the report, `report.html` in that folder.

    Raises:
        UsageError: The folder is missing, or holds no sound commit record.
    """
    folder = Path(folder)
    kind = outputs.find_kind(folder)
    records = outputs.read_records(folder, kind)  # says what is wrong with one, if anything is
    html = _PAGES[kind](folder)
    path = folder / REPORT_NAME
    # A file name that is not valid UTF-8 must not cost the report.
    storage.put(path, html.encode("utf-8", "replace"))
    if kind is outputs.LABELS:
        review.draw(folder, records)
    return path


def compare(folders: Sequence[Path | str], output: Path | str) -> Path:
    """Draws one page that compares several model bundles.

    Args:
        folders: Model bundles, in the order in which they are to stand.
        output: The HTML file to write; one that is there is replaced.

    Returns:
        The path of the page.

    Raises:
        UsageError: A folder is no sound model bundle, or the output is a folder.
    """
    output = Path(output)
    if output.is_dir():
        raise UsageError(f"--output {output}: is a folder; expected the name of an HTML file")
    html = comparison.page([Path(folder) for folder in folders])
    storage.put(output, html.encode("utf-8", "replace"))
    return output
