"""`segflow export`: masks of labelled images as files, for labelling tools and for ingest."""

import sys
from collections.abc import Sequence

from pipelines import cli, tables
from segflow.export.config import ExportConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("export", ExportConfig, _execute, argv)


def _execute(config: ExportConfig, _: Sequence[str]) -> None:
    from segflow.export.command import LEFT_OUT, export  # heavy: --help does without

    record = export(config)
    tables.print_line(f"{config.output}: {record['images']:,} masks ({config.format})")
    if record["left_out"]:
        codes = ", ".join(f"{count} {code}" for code, count in record["left_out"].items())
        tables.print_line(f"left out: {codes}; see {config.output}/{LEFT_OUT}")


if __name__ == "__main__":
    sys.exit(main())
