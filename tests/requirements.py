"""What some tests need beside the package: skipped in one line without it, failed in CI."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_data(name: str) -> Path:
    """The folder `name` of the public data sets collected for tests.

    They lie in `../shared/data` beside the checkout; `SEGFLOW_SHARED` names another `shared`.
    """
    return _shared_folder(f"data/{name}")


def shared_weights() -> Path:
    """The folder of pretrained Keras weights collected for tests, likewise."""
    return _shared_folder("weights")


def require_tool(name: str) -> str:
    """The path of a program that must be on the PATH."""
    path = shutil.which(name)
    return path if path is not None else leave_out(f"needs the program {name}")


def leave_out(reason: str) -> NoReturn:
    """Skips the running test, or fails it in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"missing in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def _shared_folder(path: str) -> Path:
    shared = Path(os.environ.get("SEGFLOW_SHARED") or ROOT.parent / "shared")
    if not (shared / path).is_dir():
        leave_out(f"needs {shared / path} (SEGFLOW_SHARED names another shared folder)")
    return shared / path
