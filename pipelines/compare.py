"""`segflow compare`: how many pixels go from which class to which between two runs of labels."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from pipelines import cli, tables
from segflow.compare.config import CompareConfig
from segflow.errors import JobError

_SHOWN = 20  # largest transitions


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("compare", CompareConfig, _execute, argv)


def _execute(config: CompareConfig, _: Sequence[str]) -> None:
    from segflow.compare.command import compare  # heavy: --help does without

    record = compare(config)
    images = record["images"]
    tables.print_table(f"{config.before} → {config.after}", _table(record))
    tables.print_line(
        f"images: {images['compared']:,} compared, {images['changed']:,} with a change; not "
        f"compared: {images['image_changed']:,} with other bytes, {images['only_before']:,} only "
        f"in the first, {images['only_after']:,} only in the second"
    )
    tables.print_line(
        f"pixels: {record['changed_pixels']:,} of {record['pixels']:,} changed "
        f"({record['changed_fraction']:.4%})"
    )
    if config.output is not None:
        tables.print_line(f"changes: {config.output}")
    if refusals := list(_refusals(config, record)):
        raise JobError(f"{'; '.join(refusals)}; look at them before this model is released")


def _refusals(config: CompareConfig, record: Mapping[str, Any]) -> Iterator[str]:
    """Why the second side must not replace the first."""
    limits = (
        ("pixels changed", "changed_fraction", "--max-change", config.max_change),
        ("images cannot be compared", "missing_fraction", "--max-missing", config.max_missing),
    )
    for what, name, flag, limit in limits:
        if (share := record[name]) > limit:
            yield f"{share:.4%} of the {what}, more than {flag} {limit:g} ({limit:.4%})"


def _table(record: Mapping[str, Any]) -> Table:
    table = Table("before", "after")
    table.add_column("pixels", justify="right")
    table.add_column("of the class before", justify="right")
    for row in _largest(record):
        table.add_row(*row)
    return table


def _largest(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """The transitions of most pixels, from one class to another."""
    names, counts = record["classes"], record["transitions"]
    moves = [(counts[i][j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j]
    for pixels, i, j in sorted(moves, key=lambda move: (-move[0], move[1:]))[:_SHOWN]:
        if pixels:
            yield names[i], names[j], f"{pixels:,}", f"{pixels / sum(counts[i]):.2%}"


if __name__ == "__main__":
    sys.exit(main())
