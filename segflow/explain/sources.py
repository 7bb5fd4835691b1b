"""Source files: whether they are there, and are what they were."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segflow import hashing
from segflow.data.config import DecodeLimits
from segflow.data.pair import read_source
from segflow.errors import RejectError

SAME, CHANGED, MISSING, UNKNOWN = "same", "changed", "missing", "unknown"
"""States: unknown is there, but nobody has recorded what it was."""


def source(
    uri: str, sha256: str | None, part: str | None = None, limits: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """A source file, and what became of it.

    Args:
        uri: Its address.
        sha256: Of its bytes then, in hex; None where that was not recorded.
        part: Where it lies in a pack; None: it is a file of its own.
        limits: The caps of the run that took it, as recorded; None: those by default.

    Returns:
        `uri`, `sha256`, `state`; with it `found_sha256` or `problem`.
    """
    about: dict[str, Any] = {"uri": uri, "sha256": sha256}
    if part is not None:
        about["part"] = part
    try:
        found = _sha256(uri, part, DecodeLimits(**limits or {}))
    except (RejectError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return {**about, "state": MISSING, "problem": reason}
    if sha256 is None:
        return {**about, "state": UNKNOWN, "found_sha256": found}
    if found != sha256:
        return {**about, "state": CHANGED, "found_sha256": found}
    return {**about, "state": SAME}


def _sha256(uri: str, part: str | None, limits: DecodeLimits) -> str:
    if part is not None:
        data = read_source(uri, (None, None), limits, "image", part)
        return hashlib.sha256(data).hexdigest()
    if not Path(uri).is_file():  # opening a pipe would wait for ever
        raise FileNotFoundError(f"no file {uri}")
    return hashing.sha256_file(uri)
