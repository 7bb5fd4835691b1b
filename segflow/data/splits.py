"""Splits by ratio: of single images, or of groups that must not straddle."""

import re
from collections.abc import Mapping

from segflow import hashing
from segflow.data.patterns import parse_pattern
from segflow.errors import UsageError


def choose_split(shares: Mapping[str, float], seed: int, unit: str) -> str:
    """The split of a key or group: by its hash, so that adding data moves no other."""
    position, threshold = hashing.unit_interval("split", seed, unit), 0.0
    for name, share in shares.items():
        threshold += share
        if position < threshold:
            return name
    return list(shares)[-1]  # shares add up to 1 but for rounding


def require_split_name(split: str | None) -> str | None:
    """A data set's own name of a split, which becomes part of the names of files.

    Raises:
        UsageError: It has other characters than letters, digits and _.
    """
    if split is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]*", split):
        raise UsageError(
            f"a split is called {split!r}; expected letters, digits and _; rename it, or give "
            "--splits train=0.8,val=0.1,test=0.1 to leave the data set's own out"
        )
    return split


def parse_group_pattern(text: str) -> re.Pattern[str]:
    """Compiles `--group-pattern`.

    Raises:
        UsageError: It is no regular expression, or has no group in parentheses.
    """
    return parse_pattern("--group-pattern", text, r"(\w+)_\d+")


def group_of(pattern: re.Pattern[str], key: str) -> str:
    """The group that a key names: the first of the pattern's groups that takes part.

    Raises:
        UsageError: The pattern is not in the key, so that nobody can say what it must not straddle.
    """
    match = pattern.search(key)
    found = next((g for g in match.groups() if g), None) if match else None
    if found is None:
        raise UsageError(
            f"--group-pattern '{pattern.pattern}': finds no group in the key {key!r}; give each "
            rf"image one, as in '{pattern.pattern}|(.+)', where what is left over stands alone"
        )
    return found
