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
    images, share = record["images"], record["changed_fraction"]
    tables.print_table(f"{config.before} → {config.after}", _table(record))
    tables.print_line(
        f"images: {images['compared']:,} compared, {images['changed']:,} with a change; not "
        f"compared: {images['image_changed']:,} with other bytes, {images['only_before']:,} only "
        f"in the first, {images['only_after']:,} only in the second"
    )
    tables.print_line(
        f"pixels: {record['changed_pixels']:,} of {record['pixels']:,} changed ({share:.4%})"
    )
    if config.output is not None:
        tables.print_line(f"changes: {config.output}")
    if share > config.max_change:
        raise JobError(
            f"{share:.4%} of the pixels changed, more than --max-change {config.max_change:g} "
            f"({config.max_change:.4%}); look at them before this model is released"
        )


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
