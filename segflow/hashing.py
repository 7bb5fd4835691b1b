"""Fingerprints and seeded choices: the same on every machine, in every process."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, so that equal values give equal bytes.

    Raises:
        ValueError: A number is NaN or infinite; NaN equals nothing, so no bytes can stand for it.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def fingerprint(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a local file's bytes in hex, read in chunks."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stable_seed(*parts: str | int) -> int:
    """A 64-bit integer in [0, 2**64) that depends on `parts` alone."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def unit_interval(*parts: str | int) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    return (stable_seed(*parts) >> 11) / 2**53
