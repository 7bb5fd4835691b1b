"""What the programs share: flags to config, errors to one line and an exit code."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TextIO, TypeVar

import tyro

from pipelines import flags, parsing
from segflow import storage
from segflow.errors import SegflowError

Config = TypeVar("Config")
_LOG_LEVELS = ("debug", "info", "warning", "error")

_BEAM_NOTE = "Other flags go to Beam (--runner=…), and so do words after --, unchecked."


@dataclass(frozen=True, kw_only=True)
class SharedConfig:
    """What every command takes besides its own flags."""

    config: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file that holds any of these flags; a flag on the command line wins."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], tyro.conf.arg(metavar="LEVEL")
    ] = "warning"
    """What is said on stderr: error, warning, info, or debug, with an error's traceback."""


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
    try:
        _set_up_logs(_log_level(arguments))
        parsed = parse(command, config, arguments, takes_beam_flags=takes_beam_flags)
        with storage.full_disk_named(_written_to(parsed.config)):
            execute(parsed.config, parsed.beam_flags)
    except SegflowError as error:
        return _complain(command, str(error), error.exit_code)
    except BrokenPipeError:
        _silence(sys.stdout)  # whoever read it has gone, as with `| head`
        return 1
    except OSError as error:
        return _complain(command, _os_error(error), 1)
    except KeyboardInterrupt:
        how = " with --resume" if "resume" in flags.own_flags(config) else ""
        message = f"interrupted; finished work is kept, run the same command{how} to go on"
        code = _complain(command, message, 130)
        _silence(sys.stderr)  # Beam's threads live on, and libraries complain of it at exit
        return code
    return 0


def parse(
    command: str, config: type[Config], arguments: Sequence[str], *, takes_beam_flags: bool
) -> Parsed:
    """Reads flags and `--config` files into a config; other flags go to Beam.

    Raises:
        UsageError: A flag is unknown, missing or has a wrong value.
    """
    words, unchecked = _split_at_dashes(arguments)
    own = {**flags.own_flags(config), **flags.own_flags(SharedConfig)}
    words = flags.expand_config_files(flags.join_lists(words, own), own, takes_beam_flags)
    _set_up_logs(_log_level(words))
    ours, beams = flags.separate(words, own, takes_beam_flags)
    note = _BEAM_NOTE if takes_beam_flags else ""
    built = parsing.build(f"segflow {command}", config, SharedConfig, ours, note)
    flags.require_sound_beam_flags([*beams, *unchecked])
    return Parsed(built, (*beams, *unchecked))


def _split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    arguments = list(arguments)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _log_level(arguments: Sequence[str]) -> str:
    """The last `--log-level`; read ahead, so that what the parser says is logged at it too."""
    level = "warning"
    words, _ = _split_at_dashes(arguments)
    for word, following in zip(words, [*words[1:], ""], strict=False):
        value = word.partition("=")[2] if "=" in word else following
        if flags.flag_name(word) == "log-level" and value in _LOG_LEVELS:
            level = value
    return level


def _set_up_logs(level: str) -> None:
    # Before TensorFlow is imported: its C++ log would bury the one line that matters.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if level == "debug" else "3")
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(level.upper())
    if level != "debug":
        warnings.simplefilter("ignore")  # Pillow warns of what becomes a reject
        for noisy in ("apache_beam", "absl", "root"):
            logging.getLogger(noisy).setLevel(logging.ERROR)


def _complain(command: str, message: str, code: int) -> int:
    logging.getLogger("segflow").debug("traceback", exc_info=True)
    print(f"segflow {command}: {' '.join(message.splitlines())}", file=sys.stderr)  # noqa: T201
    return code


def _silence(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _written_to(config: Any) -> str:
    if output := getattr(config, "output", None):
        return str(output)
    folder = getattr(config, "folder", tempfile.gettempdir())
    return folder if isinstance(folder, str) else folder[0]


def _os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}; mend it, then run the same command to go on"
