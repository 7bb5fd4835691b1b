"""What the programs print at their end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    """Prints per-class scores, and mean IoU and pixel accuracy to full precision."""
    table = Table()
    table.add_column("class")
    columns = ("iou", "dice", "precision", "recall")
    for column in (*columns, "pixels"):
        table.add_column(column, justify="right")
    for name, scores in metrics["per_class"].items():
        numbers = ["-" if scores[c] is None else f"{scores[c]:.3f}" for c in columns]
        table.add_row(name, *numbers, f"{scores['pixels']:,}")
    print_table(title, table)
    print_line(f"mean IoU: {metrics['mean_iou']}")
    print_line(f"pixel accuracy: {metrics['pixel_accuracy']}")


def print_inputs(inputs: Mapping[str, Any]) -> None:
    """Prints listed = accepted + rejected, and the rejects by code."""
    codes = ", ".join(f"{count} {code}" for code, count in inputs["by_code"].items())
    print_line(
        f"{inputs['listed']} listed = {inputs['accepted']} accepted + "
        f"{inputs['rejected']} rejected" + (f" ({codes})" if codes else "")
    )


def print_report(folder: str | Path) -> None:
    """Draws the folder's report and says where it lies."""
    from segflow.report import draw  # plots take a second to import

    print_line(f"report: {draw(folder)}")
