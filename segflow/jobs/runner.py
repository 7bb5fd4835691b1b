"""Runs a pipeline: here with all cores, or wherever Beam's flags say."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from segflow.errors import JobError, SegflowError
from segflow.jobs import worker
from segflow.jobs.cause import innermost
from segflow.jobs.cores import available_cores
from segflow.jobs.engine import RunShards
from segflow.jobs.job import Job
from segflow.jobs.run import Run

# This package's errors where workers are other processes: the text is all that is left of them.
_OWN = re.compile(r"^segflow\.errors\.\w+Error: ")

# All that Beam says when a worker process is gone.
_WORKER_DIED = "Channel closed prematurely"


def work_off(job: Job, run: Run, flags: Sequence[str]) -> None:
    """Builds the pipeline for a run and waits for its end.

    Args:
        job: The job.
        run: Its run; shards that have a record are skipped.
        flags: Beam's flags.

    Raises:
        JobError: The pipeline failed; what is finished stays.
    """
    options = PipelineOptions(list(flags))
    runner = options.view_as(StandardOptions).runner or "DirectRunner"
    local = runner.lower() in ("directrunner", "direct")  # as Beam reads it
    if local:
        _use_all_cores(options, flags, run.shard_count)
    pipeline = beam.Pipeline(runner=_local_runner(options) if local else None, options=options)
    _ = pipeline | RunShards(job, run)
    quiet = local and not logging.getLogger().isEnabledFor(logging.INFO)
    try:
        with _stderr_to(run.folder / "workers.log") if quiet else contextlib.nullcontext():
            pipeline.run().wait_until_finish()
    except Exception as error:
        logging.getLogger(__name__).debug("the pipeline failed", exc_info=True)
        cause, advice = innermost(error), ", run the same command to go on"
        if isinstance(error, SegflowError) or _OWN.match(cause):
            cause, advice = _OWN.sub("", cause), ""  # it says itself what to do
        elif _WORKER_DIED in str(error):
            cause = (
                "a worker process died, perhaps for lack of memory (fewer --direct_num_workers "
                f"need less); its last words are in {run.folder / 'workers.log'}"
            )
        raise JobError(f"{cause}; finished shards are kept{advice}") from error


def _use_all_cores(options: PipelineOptions, flags: Sequence[str], shards: int) -> None:
    direct = options.view_as(DirectOptions)
    if not _given("direct_num_workers", flags):
        direct.direct_num_workers = max(1, min(available_cores(), shards))
    if not _given("direct_running_mode", flags):
        several = direct.direct_num_workers > 1
        direct.direct_running_mode = "multi_processing" if several else "in_memory"


def _local_runner(options: PipelineOptions) -> FnApiRunner:
    """The in-process runner; named outright, as DirectRunner would try to download Prism first."""
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return FnApiRunner()
    direct.direct_running_mode = None  # it would replace our worker's command by Beam's
    return FnApiRunner(SubprocessSDKEnvironment.from_command_string(worker.command(os.getpid())))


@contextlib.contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Sends what worker processes say to a file: they log their start-up at length."""
    original = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)


def _given(name: str, flags: Sequence[str]) -> bool:
    return any(flag.partition("=")[0] == f"--{name}" for flag in flags)
