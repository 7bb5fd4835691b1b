"""Regular expressions that users give, with the part that counts in parentheses."""

import difflib
import re
from collections.abc import Sequence

from segflow.errors import UsageError

_SHOWN_PAIRS = 3


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


def no_pairs(images: Sequence[str], masks: Sequence[str]) -> str:
    """Says that nothing pairs, with what the first images are closest to, and a pattern that fits.

    Args:
        images: Keys of images, at least one.
        masks: Keys of masks, at least one.
    """
    pairs = [
        (image, (difflib.get_close_matches(image, masks, n=1, cutoff=0) or masks)[0])
        for image in images[:_SHOWN_PAIRS]
    ]
    closest = "; ".join(f"{image!r} and {mask!r}" for image, mask in pairs)
    before, found, after = pairs[0][1].partition(pairs[0][0])
    pattern = f"{re.escape(before)}(.+){re.escape(after)}" if found else "(.+)_mask"
    return (
        f"no image and mask share a stem; the closest pair{' is' if len(pairs) == 1 else 's are'} "
        f"{closest}; give --mask-pattern '{pattern}', or globs whose wildcards match the common "
        "part, such as --images 'data/*.jpg' --masks 'data/*_mask.png'"
    )
