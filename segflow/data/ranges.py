"""Checks of numbers that several configs share."""

from segflow.errors import UsageError


def require_range(flag: str, value: float, low: float, high: float) -> None:
    """Raises `UsageError` unless `low` <= `value` <= `high`."""
    if not low <= value <= high:
        raise UsageError(f"{flag} must be {low} to {high}, found {value}")
