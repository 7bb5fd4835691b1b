"""What the programs print at their end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from segflow.console import plain_console

_CONSOLE = plain_console()


def print_line(text: str) -> None:
    """Prints one line, however long."""
    _CONSOLE.print(text)


def print_table(title: str, table: Table) -> None:
    """Prints a table below its title, which stays whole however long: it names a folder."""
    print_line(title)
    _CONSOLE.print(table, soft_wrap=False)


def print_scores(title: str, metrics: Mapping[str, Any]) -> None:
    """Prints per-class scores in 80 columns, and those of all classes to full precision.

    Dice, which says the same as IoU, is left to the report.
    """
    from segflow.scores.bootstrap import FEW_IMAGES  # NumPy: --help does without

    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("class", overflow="fold")
    names = ("iou", "95 % interval", "boundary", "precision", "recall", "pixels")
    for name in names:
        table.add_column(f" {name}", justify="right", no_wrap=True)
    for name, scores in metrics["per_class"].items():
        boundary, precision, recall = map(
            _score, (scores.get("boundary_iou"), scores["precision"], scores["recall"])
        )
        iou, ends = _score(scores["iou"]), _interval(scores.get("iou_interval"))
        table.add_row(name, iou, ends, boundary, precision, recall, f"{scores['pixels']:,}")
    print_table(title, table)
    intervals, images = metrics.get("intervals", {}), metrics["examples"]
    for words, key in (("mean IoU", "mean_iou"), ("pixel accuracy", "pixel_accuracy")):
        print_line(f"{words}: {metrics[key]}")
        if intervals.get(key):
            doubt = f" (of {images} images only: too few to rely on)" if images < FEW_IMAGES else ""
            print_line(f"{words}, 95 % interval: {_interval(intervals[key])}{doubt}")
    if "mean_boundary_iou" in metrics:
        print_line(f"mean boundary IoU: {metrics['mean_boundary_iou']}")
    print_line(_guessing(metrics["per_class"]))


def _guessing(per_class: Mapping[str, Mapping[str, Any]]) -> str:
    """What a model would score that answers the commonest class everywhere."""
    from segflow.scores import always_commonest  # NumPy: --help does without

    pixels = [scores["pixels"] for scores in per_class.values()]
    if not any(pixels):
        return "no pixel of any class"
    commonest, mean_iou, accuracy = always_commonest(pixels)
    return (
        f"for comparison, {list(per_class)[commonest]!r} everywhere: mean IoU {mean_iou:.4f}, "
        f"pixel accuracy {accuracy:.4f}"
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(ends: Sequence[float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else "-"


def print_areas(title: str, record: Mapping[str, Any]) -> None:
    """Prints a run's pixels by class, adjusted for the model's errors where that is known."""
    adjusted = record["adjusted_areas"]
    rows = adjusted["classes"]
    has_area = any(entry.get("area") for entry in record["classes"])
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("class", overflow="fold")
    names = ("pixels", "share", *(("adjusted", "95 % interval") if rows else ()), "images")
    for name in (*names, *(("area, m²",) if has_area else ())):
        table.add_column(f" {name}", justify="right", no_wrap=True)
    for i, entry in enumerate(record["classes"]):
        told = _adjusted(rows[i], record["pixels"]) if rows else ()
        pixels, images = (f"{entry[name]:,}" for name in ("pixels", "images"))
        area = (f"{entry['area'] or 0:,.1f}",) if has_area else ()
        table.add_row(entry["name"], pixels, f"{entry['fraction']:.2%}", *told, images, *area)
    print_table(title, table)
    if rows:
        print_line(f"adjusted for the model's errors in {_reference(adjusted['reference'])}")
    else:
        print_line(f"not adjusted for the model's errors: {adjusted['reason']}")
    for line in adjusted["warnings"]:
        print_line(f"warning: {line}")


def _adjusted(row: Mapping[str, Any], pixels: int) -> tuple[str, str]:
    """A class's adjusted share and its interval."""
    ends = row["pixels_interval"]
    interval = f"{ends[0] / pixels:.2%} to {ends[1] / pixels:.2%}" if ends else "-"
    return f"{row['adjusted_pixels'] / pixels:.2%}", interval


def _reference(found: Mapping[str, Any]) -> str:
    data, images = found["data"], found["images"]
    split = f", split {data['split']}" if data.get("split") else ""
    where = f"{data.get('dataset') or data['images']}{split}"
    return f"{images:,} {'image' if images == 1 else 'images'} of {where}"


def print_inputs(inputs: Mapping[str, Any]) -> None:
    """Prints listed = accepted + rejected, and the rejects by code."""
    codes = ", ".join(f"{count} {code}" for code, count in inputs["by_code"].items())
    print_line(
        f"{inputs['listed']} listed = {inputs['accepted']} accepted + "
        f"{inputs['rejected']} rejected" + (f" ({codes})" if codes else "")
    )


def print_leaks(dataset: str) -> None:
    """Prints in which ways the splits of a dataset know each other, so that scores flatter."""
    from segflow.dataset import Dataset
    from segflow.report.leakage import warnings

    for warning in warnings(Dataset.load(dataset).record):
        print_line(f"leak: {warning}")


def print_report(folder: str | Path) -> None:
    """Draws the folder's report and says where it lies."""
    from segflow.report import draw  # plots take a second to import

    print_line(f"report: {draw(folder)}")
