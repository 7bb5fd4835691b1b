"""How an MLflow server is talked to: for a limited time, quietly, and its address kept secret."""

import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from segflow.errors import UsageError

_LIMIT_S = 60.0
_SURROUNDINGS = {
    # By default, a server that is gone is asked for minutes, and usage is reported to MLflow.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_SILENCED = ("mlflow", "alembic", "urllib3.connectionpool")  # what matters is in the exception
_LONGEST_REASON = 200

Result = TypeVar("Result")


def require_mlflow(uri: str | None) -> None:
    """Raises `UsageError` if there is a server to talk to, and MLflow is not installed."""
    if uri is not None and importlib.util.find_spec("mlflow") is None:
        raise UsageError("--mlflow needs MLflow; install it with: pip install 'segflow[mlflow]'")


def exchange(call: Callable[[], Result]) -> Result:
    """Calls a function that talks to a server, and waits for it 60 seconds at most.

    Some of MLflow's stores try again for much longer. A call that is given up is left to itself.

    Raises:
        TimeoutError: It took longer.
        Exception: What the function raised.
    """
    _import_quietly()
    outcome: list[Result | Exception] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_LIMIT_S)
    if not outcome:
        raise TimeoutError(f"no answer in {_LIMIT_S:g} seconds")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _import_quietly() -> None:
    for name, value in _SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 - an extra; takes seconds, which are not the server's

    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def complaint(error: Exception, uri: str, consequence: str) -> str:
    """One line about a failed exchange, without what must stay secret.

    Args:
        error: What went wrong.
        uri: Of the server; what MLflow's messages quote of it is shown only if it holds neither
            user and password nor a query.
        consequence: What becomes of the training, or can be done.
    """
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner  # MLflow wraps "connection refused" in three sentences
    code = getattr(cause, "error_code", None) or getattr(cause, "strerror", None)
    told = code if "@" in uri or "?" in uri else " ".join(str(cause).split())[:_LONGEST_REASON]
    reason = ": ".join(text for text in (type(cause).__name__, told) if text)
    return f"warning: MLflow does not record this training ({reason}); {consequence}"
