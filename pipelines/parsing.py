"""From words to a config dataclass: tyro's parser, with messages of one line."""

import contextlib
import dataclasses
import inspect
import io
import types
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, Union, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from pipelines import flags
from segflow.errors import UsageError

Config = TypeVar("Config")

_NUMBERS = {int: "an integer", float: "a number"}
_LISTED = 3  # unexpected words that a message names


def build(prog: str, config: type[Config], shared: type, words: Sequence[str], note: str) -> Config:
    """Makes a config of the words of a command line; `--help` prints the help and exits.

    Args:
        prog: What the help calls the program.
        config: The dataclass to make.
        shared: A dataclass of flags that are listed and read here, but used elsewhere.
        words: Without flags that are neither's.
        note: Stands in the help below the summary.

    Raises:
        UsageError: Something is missing, unexpected, or has a wrong value.
    """
    if not {"-h", "--help"} & set(words):
        flags.require_all(words, config)
    parts = [("own", config), ("shared", shared)]
    unnamed = [(name, Annotated[part, tyro.conf.arg(name="")]) for name, part in parts]
    both: type[Any] = dataclasses.make_dataclass("Flags", unnamed, frozen=True)
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            built, unexpected = tyro.cli(
                both,
                prog=prog,
                description=f"{inspect.getdoc(config)}\n\n{note}".strip(),
                args=words,
                return_unknown_args=True,
                registry=_registry(),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(_one_line(messages.getvalue())) from None
    if unexpected:
        raise UsageError(_unexpected(unexpected))
    return built.own


def _unexpected(words: Sequence[str]) -> str:
    listed = " ".join(map(repr, words[:_LISTED]))
    more = f" and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return (
        f"unexpected {listed}{more}; put quotes around a glob, so that it reaches segflow as it "
        "is, and around names with spaces (see --help)"
    )


def _one_line(message: str) -> str:
    """A framed message as one line: without its title, its excerpt of the help, its pointer."""
    lines = [line.strip("│ ") for line in message.splitlines() if line.startswith("│")]
    text = " ".join(line for line in lines if line.strip("─"))
    for end in ("Argument helptext:", "For full helptext"):
        text = text.partition(end)[0]
    return f"{text.strip().removeprefix('Error parsing ').rstrip('.')} (see --help)"


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_number)
    registry.primitive_rule(_optional)
    return registry


def _number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Numbers whose message says what was expected and what was found."""
    kind: Any = info.type
    if kind not in _NUMBERS:
        return None

    def read(words: list[str]) -> Any:
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"expected {_NUMBERS[kind]}, found {words[0]!r}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, int | kind),
        str_from_instance=lambda value: [str(value)],
    )


def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """`X | None` as an X or `none`."""
    kinds = get_args(info.type)
    if info.type_origin not in (Union, types.UnionType) or type(None) not in kinds:
        return None
    kind = next(k for k in kinds if k is not type(None))
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, info.markers))
    assert isinstance(spec, PrimitiveConstructorSpec)
    return dataclasses.replace(
        spec,
        choices=spec.choices and (*spec.choices, flags.NONE),
        instance_from_str=lambda w: None if w == [flags.NONE] else spec.instance_from_str(w),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda v: [flags.NONE] if v is None else spec.str_from_instance(v),
    )
