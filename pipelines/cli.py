"""What the programs share: flags to config, errors to one line and an exit code."""

import argparse
import contextlib
import difflib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro
import yaml

from segflow.errors import SegflowError, UsageError

Config = TypeVar("Config")

_LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Parsed:
    """A command line: the command's config and the flags that go to Beam."""

    config: Any
    beam_flags: tuple[str, ...]


def run(
    command: str,
    config: type[Config],
    execute: Callable[[Config, Sequence[str]], None],
    argv: Sequence[str] | None,
    *,
    takes_beam_flags: bool = False,
) -> int:
    """Parses, executes, and turns a user's mistake into one line.

    Args:
        command: The sub-command's name.
        config: Its frozen dataclass.
        execute: Does the work with the config and Beam's flags.
        argv: Arguments without the program; default: the process's.
        takes_beam_flags: Whether unknown flags go to Beam.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = False
    try:
        arguments, level = _take_log_level(arguments)
        debug = level == "debug"
        _set_up_logs(level)
        parsed = parse(command, config, arguments, takes_beam_flags=takes_beam_flags)
        execute(parsed.config, parsed.beam_flags)
    except SegflowError as error:
        if debug:
            logging.getLogger("segflow").debug("traceback", exc_info=True)
        print(f"segflow {command}: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except OSError as error:
        if debug:
            raise
        print(f"segflow {command}: {_os_error(error)}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        message = "interrupted; finished work is kept, run the same command to go on"
        print(f"segflow {command}: {message}", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def parse(
    command: str, config: type[Config], arguments: Sequence[str], *, takes_beam_flags: bool
) -> Parsed:
    """Reads flags and `--config` files into a config; other flags go to Beam.

    Raises:
        UsageError: A flag is unknown, missing or has a wrong value.
    """
    checked, unchecked = _split_at_dashes(arguments)
    checked = _expand_config_files(checked)
    known = _flags_of(config)
    _require_known(checked, known, takes_beam_flags)
    ours, beams = _sort_flags(checked, known)
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            built = tyro.cli(config, prog=f"segflow {command}", args=ours)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(_one_line(messages.getvalue())) from None
    return Parsed(built, (*beams, *unchecked))


def _take_log_level(arguments: list[str]) -> tuple[list[str], str]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--log-level", "--log_level", default="warning")
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    level = parser.parse_known_args(own)[0].log_level
    if level not in _LOG_LEVELS:
        raise UsageError(f"--log-level must be one of {', '.join(_LOG_LEVELS)}, found {level!r}")
    return parser.parse_known_args(own)[1] + arguments[len(own) :], level


def _set_up_logs(level: str) -> None:
    # Before TensorFlow is imported: its C++ log would bury the one line that matters.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if level == "debug" else "3")
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
    if level != "debug":
        for noisy in ("apache_beam", "absl", "root"):
            logging.getLogger(noisy).setLevel(logging.ERROR)


def _split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    arguments = list(arguments)
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _expand_config_files(arguments: list[str]) -> list[str]:
    """Puts a `--config` file's flags first, so that a flag on the command line wins."""
    rest, expanded = [], []
    words = iter(arguments)
    for word in words:
        name, has_value, value = word.partition("=")
        if name == "--config":
            path = value if has_value else next(words, "")
            expanded += _flags_in_file(path)
        else:
            rest.append(word)
    return expanded + rest


def _flags_in_file(path: str) -> list[str]:
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: cannot be read: {error}".replace("\n", " ")) from error
    if not isinstance(data, dict):
        raise UsageError(f"--config {path}: expected 'flag: value' lines, found {data!r}")
    return list(_flags_from(data, ""))


def _flags_from(data: dict[Any, Any], prefix: str) -> list[str]:
    flags: list[str] = []
    for key, value in data.items():
        name = f"{prefix}{str(key).replace('_', '-')}"
        if isinstance(value, dict):
            flags += _flags_from(value, f"{name}.")
        elif isinstance(value, bool):
            head, _, tail = name.rpartition(".")
            negative = f"{head}.no-{tail}" if head else f"no-{tail}"
            flags.append(f"--{name if value else negative}")
        elif isinstance(value, list):
            flags += [f"--{name}", *map(str, value)]
        else:
            flags += [f"--{name}", str(value)]
    return flags


def _flags_of(config: Any, prefix: str = "") -> dict[str, bool]:
    """Flags of a config dataclass without their dashes; the value says whether it is a switch."""
    known: dict[str, bool] = {}
    for field in fields(config):
        name = f"{prefix}{field.name.replace('_', '-')}"
        if is_dataclass(field.type):
            known |= _flags_of(field.type, f"{name}.")
        else:
            known[name] = field.type is bool
            if field.type is bool:
                known[f"{prefix}no-{field.name.replace('_', '-')}"] = True
    return known


def _flag_name(word: str) -> str | None:
    match = re.match(r"--([A-Za-z][\w.-]*)", word)
    return match[1].replace("_", "-") if match else None


def _require_known(words: Sequence[str], known: dict[str, bool], takes_beam_flags: bool) -> None:
    names = [name for word in words if (name := _flag_name(word))]
    unknown = [name for name in names if name not in known and name != "help"]
    if not unknown:
        return
    beams = _beam_flags() if takes_beam_flags else set()
    for name in unknown:
        if name not in beams:
            closest = difflib.get_close_matches(name, [*known, *beams], n=1, cutoff=0.4)
            hint = f"; did you mean --{closest[0]}?" if closest else ""
            raise UsageError(f"unknown flag --{name}{hint} (see --help)")


def _sort_flags(words: Sequence[str], known: dict[str, bool]) -> tuple[list[str], list[str]]:
    """Separates the command's words from Beam's; a flag takes along the values behind it."""
    ours: list[str] = []
    beams: list[str] = []
    target = ours
    for word in words:
        name = _flag_name(word)
        if name is not None:
            target = ours if name in known or name == "help" else beams
        target.append(word)
    return ours, beams


def _beam_flags() -> set[str]:
    from apache_beam.options.pipeline_options import PipelineOptions

    names: set[str] = set()
    pending = [PipelineOptions]
    while pending:
        options = pending.pop()
        pending += options.__subclasses__()
        if "_add_argparse_args" in vars(options):
            parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
            options._add_argparse_args(parser)
            for action in parser._actions:
                names |= {s.lstrip("-").replace("_", "-") for s in action.option_strings}
    return names


def _one_line(message: str) -> str:
    """The parser's framed message as one line, without its pointer to --help."""
    lines = [line.strip("│╭╮╰╯─ ").strip() for line in message.splitlines()]
    text = " ".join(line for line in lines if line)
    return text.partition("For full helptext")[0].strip() + " (see --help)"


def _os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}; mend it and run the same command to go on"
