"""A training in a process of its own, so that a crash, or memory it does not give back, is its own.

It does not outlive the process that started it: that one would train the same again beside it.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
import warnings
from multiprocessing.connection import Connection

from segflow import storage
from segflow.errors import JobError, SegflowError
from segflow.train.config import TrainConfig
from segflow.train.trainer import train

_POLL_S = 0.5
_ORPHANED = 1


def train_apart(config: TrainConfig) -> None:
    """Trains as `segflow.train.trainer.train` does, progress on standard error.

    Raises:
        UsageError: As `train` says.
        JobError: The training failed, or its process was ended from outside.
        OSError: Something is wrong with the disk, which is no fault of these settings.
    """
    context = multiprocessing.get_context("spawn")
    outcome, sender = context.Pipe(duplex=False)
    arguments = (config, sender, os.getpid(), logging.getLogger().level)
    process = context.Process(target=_train, args=arguments)
    process.start()
    sender.close()
    try:
        error = outcome.recv()
    except EOFError:
        process.join()
        raise JobError(_end(process.exitcode)) from None
    finally:
        process.kill()  # after an interruption; what it has stored is complete or absent
        process.join()
    if error is not None:
        raise error


def _end(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed, which the system does when memory runs out"
    return f"its process ended without a result, exit code {code}"


def _train(config: TrainConfig, outcome: Connection, starter: int, log_level: int) -> None:
    threading.Thread(target=_die_with, args=(starter,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starter's affair
    logging.basicConfig(level=log_level)
    if log_level > logging.DEBUG:
        warnings.simplefilter("ignore")
    error: Exception | None = None
    try:
        with storage.full_disk_named(config.output):
            train(config)
    except (SegflowError, OSError) as problem:
        error = problem
    except Exception as problem:
        logging.getLogger("segflow").debug("traceback", exc_info=True)
        error = JobError(f"{type(problem).__name__}: {problem}")
    outcome.send(error)


def _die_with(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(_POLL_S)
    os._exit(_ORPHANED)
