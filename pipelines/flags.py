"""Flags: the command's own, Beam's, and those in `--config` files."""

import argparse
import contextlib
import dataclasses
import difflib
import functools
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import tyro
import yaml

from segflow.errors import UsageError

NONE = "none"  # how an option without a value is written


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag that is known: its spelling, and whether it stands alone, without a value.

    `negation` is what a switch is turned off with; empty if nothing is. A list takes any number
    of values, behind one flag or each behind its own.
    """

    spelling: str
    is_switch: bool
    negation: str = ""
    is_list: bool = False


Flags = Mapping[str, Flag]
"""By name: without leading dashes, words joined by dashes, sections by dots."""


def own_flags(config: Any) -> Flags:
    """The flags of a config dataclass, those of nested ones as `section.name`."""
    return {flag.spelling[2:]: flag for flag in _own_flags(config, "")}


def _own_flags(config: Any, prefix: str) -> Iterator[Flag]:
    for field in dataclasses.fields(config):
        name = field.name.replace("_", "-")
        if not field.init:
            continue
        if dataclasses.is_dataclass(field.type):
            yield from _own_flags(field.type, f"{prefix}{name}.")
        elif field.type is bool:
            yield Flag(f"--{prefix}{name}", True, f"--{prefix}no-{name}")
            yield Flag(f"--{prefix}no-{name}", True)
        elif not is_positional(field):
            is_list = get_origin(field.type) is tuple and get_args(field.type)[-1] is Ellipsis
            yield Flag(f"--{prefix}{name}", False, is_list=is_list)


def join_lists(words: Sequence[str], own: Flags) -> list[str]:
    """Gathers the values of a flag that takes a list behind its first: the parser wants them so.

    Done before config files are read, so that a list on the command line wins over theirs.
    """
    joined: list[str] = []
    values: dict[str, list[str]] = {}
    target = joined
    for word in words:
        name = flag_name(word)
        if name is None:
            target.append(word)
        elif name in own and own[name].is_list:
            target = values.setdefault(name, [own[name].spelling])
            target += [word.partition("=")[2]] if "=" in word else []
        else:
            target = joined
            target.append(word)
    return [*joined, *itertools.chain.from_iterable(values.values())]


def is_positional(field: "dataclasses.Field[Any]") -> bool:
    """Whether a config's field is a word without a flag: `Annotated[…, tyro.conf.Positional]`."""
    return tyro.conf.Positional in get_args(field.type)[1:]


@functools.cache
def beam_flags() -> Flags:
    """The flags of all of Beam's `PipelineOptions`."""
    from apache_beam.options.pipeline_options import PipelineOptions

    names: dict[str, Flag] = {}
    pending = [PipelineOptions]
    while pending:
        options = pending.pop()
        pending += options.__subclasses__()
        if "_add_argparse_args" in vars(options):
            parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
            options._add_argparse_args(parser)
            for action in parser._actions:
                for spelling in action.option_strings:
                    names[normal(spelling.lstrip("-"))] = Flag(spelling, action.nargs == 0)
    return names


def flag_name(word: str) -> str | None:
    """The name of the flag that a word of the command line begins with; None if it is none."""
    match = re.match(r"--?([A-Za-z][\w.-]*)", word)
    return normal(match[1]) if match else None


def expand_config_files(arguments: Sequence[str], own: Flags, takes_beam_flags: bool) -> list[str]:
    """Puts the flags of `--config` files first, so that one on the command line wins.

    Raises:
        UsageError: A file cannot be read, or holds a key that is no flag.
    """
    rest: list[str] = []
    expanded: list[str] = []
    words = iter(arguments)
    for word in words:
        name, has_value, value = word.partition("=")
        if name == "--config":
            path = value if has_value else next(words, "")
            expanded += words_in_file(path, own, takes_beam_flags)
        else:
            rest.append(word)
    return expanded + rest


def words_in_file(path: str, own: Flags, takes_beam_flags: bool) -> list[str]:
    """A config file's flags as words of a command line.

    Raises:
        UsageError: The file cannot be read, or holds a key that is no flag.
    """
    words: list[str] = []
    for key, value in settings(read_yaml("--config", path), own):
        words += _words(key, value, path, own, takes_beam_flags)
    return words


def read_yaml(flag: str, path: str) -> dict[Any, Any]:
    """The mapping that the YAML file of a flag holds.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    if not path:
        raise UsageError(f"{flag}: expected the path of a YAML file, found nothing")
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{flag} {path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{flag} {path}: not valid YAML: {reason}") from error
    if not isinstance(data, dict):
        found = "nothing" if data is None else repr(data)[:60]
        raise UsageError(f"{flag} {path}: expected 'flag: value' lines, found {found}")
    return data


def settings(data: Mapping[Any, Any], own: Flags, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a mapping is a section if there are flags below it."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        section = f"{normal(name)}."
        if isinstance(value, dict) and any(known.startswith(section) for known in own):
            yield from settings(value, own, f"{name}.")
        else:
            yield name, value


def _words(key: str, value: Any, path: str, own: Flags, takes_beam_flags: bool) -> list[str]:
    name = normal(key)
    own = {known: flag for known, flag in own.items() if known != "config"}  # files do not nest
    if flag := own.get(name):
        return own_words(flag, value)
    beams = beam_flags() if takes_beam_flags else {}
    if flag := beams.get(name):
        return _beam_words(flag, value)
    raise unknown_key(f"--config {path}", key, {**own, **beams})


def unknown_key(where: str, key: str, known: Flags) -> UsageError:
    """The complaint about a key of a file that is no flag."""
    closest = _closest(normal(key), known)
    hint = f"did you mean {closest.spelling[2:]}?" if closest else "see --help for the flags"
    return UsageError(f"{where}: unknown key {key}; {hint}")


def own_words(flag: Flag, value: Any) -> list[str]:
    """A setting as words of a command line: a value of YAML, or a list of them."""
    if flag.is_switch and isinstance(value, bool):
        return [flag.spelling] if value else [flag.negation]
    if isinstance(value, list):
        return [flag.spelling, *map(str, value)]
    return [f"{flag.spelling}={NONE if value is None else value}"]


def _beam_words(flag: Flag, value: Any) -> list[str]:
    if value is None or (flag.is_switch and value is False):
        return []
    if flag.is_switch and value is True:
        return [flag.spelling]
    values = value if isinstance(value, list) else [value]
    return [f"{flag.spelling}={json.dumps(v) if isinstance(v, dict) else v}" for v in values]


def separate(
    words: Sequence[str], own: Flags, takes_beam_flags: bool
) -> tuple[list[str], list[str]]:
    """Separates the command's words from Beam's; a flag takes along the values behind it.

    Beam reads only its own spelling, so its flags come out in it: `--direct-num-workers=2`
    as `--direct_num_workers=2`.

    Raises:
        UsageError: A flag is known to neither.
    """
    ours: list[str] = []
    beams: list[str] = []
    target = ours
    for word in words:
        name = flag_name(word)
        if name is None:
            target.append(word)
        elif name in own or word in ("-h", "--help"):
            target = ours
            target.append(word)
        else:
            target = beams
            target.append(_beam_word(word, name, own, takes_beam_flags))
    return ours, beams


def _beam_word(word: str, name: str, own: Flags, takes_beam_flags: bool) -> str:
    known = beam_flags() if takes_beam_flags else {}
    if name in known and word.startswith("--"):
        return known[name].spelling + word[2 + len(name) :]
    given = word.partition("=")[0]
    closest = _closest(name, {**own, **known})
    hint = f"; did you mean {closest.spelling}?" if closest else ""
    raise UsageError(f"unknown flag {given}{hint} (see --help)")


def require_all(words: Sequence[str], config: Any) -> None:
    """Raises `UsageError` if something without a default is missing, and names all of it."""
    given = {flag_name(word) for word in words}
    missing = []
    for field in dataclasses.fields(config):
        name = normal(field.name)
        if field.default is not dataclasses.MISSING or name in given:
            continue
        if field.default_factory is not dataclasses.MISSING:
            continue
        if not is_positional(field):
            missing.append(f"--{name}")
        elif None not in given:
            missing.append(name.upper())
    if missing:
        raise UsageError(f"missing {', '.join(missing)} (see --help)")


def require_sound_beam_flags(words: Sequence[str]) -> None:
    """Raises `UsageError` if Beam refuses its flags: a wrong value, an unknown runner."""
    if not words:
        return  # Beam takes a second to import
    from apache_beam import Pipeline
    from apache_beam.options.pipeline_options import PipelineOptions

    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            options = PipelineOptions(list(words))
            options.get_all_options()
            Pipeline(options=options)
    except SystemExit:
        reason = messages.getvalue().rpartition("error: ")[2].strip()
        raise UsageError(f"a flag of Beam's: {reason}") from None
    except (ValueError, ImportError) as error:
        raise UsageError(f"a flag of Beam's: {error}") from error


def _closest(name: str, known: Flags) -> Flag | None:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return known[matches[0]] if matches else None


def normal(name: str) -> str:
    """A setting's name as a flag has it: words joined by dashes."""
    return name.replace("_", "-")
