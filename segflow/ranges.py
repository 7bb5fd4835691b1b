"""Checks of numbers that several configs share."""

from segflow.errors import UsageError

GROUND_RESOLUTION = (1e-9, 1e6)
"""Metres that the side of a pixel may be, from molecules to continents: no area overflows."""


def require(flag: str, value: object, sound: bool, expected: str) -> None:
    """Raises `UsageError` that says what was expected of a flag and what was found."""
    if not sound:
        raise UsageError(f"{flag} must be {expected}, found {value}")


def require_range(flag: str, value: float, low: float, high: float) -> None:
    """Raises `UsageError` unless `low` <= `value` <= `high`."""
    require(flag, value, low <= value <= high, f"{low} to {high}")
