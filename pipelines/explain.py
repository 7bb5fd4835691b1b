"""`segflow explain`: where a row of a table comes from; makes it again, and compares."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines import cli, tables
from segflow.errors import JobError
from segflow.explain.config import ExplainConfig

_INLINE = ("config", "versions", "training", "architecture", "inputs", "examples")
_IN_JSON_ALONE = ("label_map",)
_NOTHING: tuple[Any, ...] = (None, [], {})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("explain", ExplainConfig, _execute, argv)


def _execute(config: ExplainConfig, _: Sequence[str]) -> None:
    from segflow import storage
    from segflow.explain.command import explain  # heavy: --help does without

    lineage = explain(config)
    if config.json:
        tables.print_line(storage.to_json(lineage).decode().rstrip())
    else:
        for line in _lines(lineage):
            tables.print_line(line)
    again = lineage.get("again", {"equal": True})
    if not again["equal"]:
        raise JobError(f"not equal: {_reason(again)}")


def _reason(again: Mapping[str, Any]) -> str:
    if problem := again.get("problem"):
        return str(problem)
    columns = ", ".join(f"{c['table']}.{c['column']}" for c in again["differences"])
    return f"{columns}; {again['why']}"


def _lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A line for each value that is there, below the name of its section."""
    for name, value in values.items():
        if value in _NOTHING or name in _IN_JSON_ALONE:
            continue
        if isinstance(value, Mapping) and name not in _INLINE:
            yield f"{indent}{name}"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, list) and isinstance(value[0], Mapping):
            yield f"{indent}{name}"
            yield from (f"{indent}  {_in_line(item)}" for item in value)
        else:
            yield f"{indent}{name}: {_in_line(value)}"


def _in_line(value: Any) -> str:
    """A value in one line: of sections their settings, but for those without a value."""
    if isinstance(value, Mapping):
        named = ((k, v) for k, v in value.items() if k not in _IN_JSON_ALONE)
        return ", ".join(f"{k} {_in_line(v)}" for k, v in named if v not in _NOTHING)
    if isinstance(value, list | tuple):
        return " ".join(map(_in_line, value))
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
