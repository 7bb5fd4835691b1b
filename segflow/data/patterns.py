"""Regular expressions that users give, with the part that counts in parentheses."""

import re

from segflow.errors import UsageError


def parse_pattern(flag: str, text: str, example: str) -> re.Pattern[str]:
    """Compiles what a flag was given.

    Args:
        flag: Its name, for messages.
        text: The regular expression.
        example: One that would do.

    Raises:
        UsageError: It is no regular expression, or has no group in parentheses.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"{flag} {text!r}: no regular expression: {error}") from error
    if not pattern.groups:
        raise UsageError(
            f"{flag} {text!r}: expected parentheses around the part that counts, as in {example!r}"
        )
    return pattern


def parse_mask_pattern(text: str) -> re.Pattern[str]:
    """Compiles `--mask-pattern`.

    Raises:
        UsageError: See `parse_pattern`.
    """
    return parse_pattern("--mask-pattern", text, "(.+)_mask")


def captured(match: re.Match[str]) -> str:
    """What the first group that takes part has matched."""
    return next((group for group in match.groups() if group is not None), "")
