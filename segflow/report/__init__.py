"""HTML reports: one self-contained page for any output folder."""

from collections.abc import Callable
from pathlib import Path

from segflow import storage
from segflow.errors import UsageError
from segflow.report import dataset, evaluation, labels, model

REPORT_NAME = "report.html"

_PAGES: dict[str, Callable[[Path], str]] = {
    "dataset.json": dataset.page,
    "bundle.json": model.page,
    "metrics.json": evaluation.page,
    labels.RECORDS: labels.page,
}


def draw(folder: Path | str) -> Path:
    """Draws the report of an output folder anew; equal folders give equal reports.

    Args:
        folder: A committed dataset, model bundle, evaluation, or labels.

    Returns:
        The path of the report, `report.html` in that folder.

    Raises:
        UsageError: The folder is missing, or holds no commit record.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected an output folder of segflow")
    html = _page_of(folder)(folder)
    path = folder / REPORT_NAME
    # A file name that is not valid UTF-8 must not cost the report.
    storage.put(path, html.encode("utf-8", "replace"))
    return path


def _page_of(folder: Path) -> Callable[[Path], str]:
    for record, page in _PAGES.items():
        if any(folder.glob(record)):
            return page
    raise UsageError(
        f"{folder}: no dataset.json, bundle.json, metrics.json or runs/*.json in it; "
        "expected the output folder of a finished segflow command"
    )
