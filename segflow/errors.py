"""What can go wrong, and what the user is told.

A `SegflowError` is a user's or the environment's fault and ends a command with
one line and its exit code. A `RejectError` costs one input, which is written to the
`rejects` table under its code; the job goes on. Anything else is a bug or a
passing fault: it raises, so that the runner tries again.
"""

from enum import StrEnum


class SegflowError(Exception):
    """Ends the command with one line on stderr and `exit_code`."""

    exit_code = 1


class UsageError(SegflowError):
    """Bad usage or input, found before any work began."""

    exit_code = 2


class JobError(SegflowError):
    """The job failed after it had begun; what is written stays and is resumed from."""

    exit_code = 1


class RejectBudgetError(SegflowError):
    """More inputs were rejected than `--max-reject-fraction` allows."""

    exit_code = 3


class RejectCode(StrEnum):
    """Why an input was refused; public, part of the `rejects` table."""

    MISSING_IMAGE = "missing_image"
    MISSING_MASK = "missing_mask"
    UNREADABLE = "unreadable"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    SIZE_MISMATCH = "size_mismatch"
    UNKNOWN_LABEL = "unknown_label"
    LOSSY_MASK = "lossy_mask"
    DUPLICATE_KEY = "duplicate_key"
    OUTSIDE_ROOT = "outside_root"
    SOURCE_CHANGED = "source_changed"
    DECODER_CRASH = "decoder_crash"
    DECODER_TIMEOUT = "decoder_timeout"
    DUPLICATE_IMAGE = "duplicate_image"


class RejectError(Exception):
    """Refuses one input; `code` and the message go to the `rejects` table."""

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code
