"""The engine's one Beam transform: shards in, a commit out."""

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from segflow import storage
from segflow.jobs.commit import Outcome, commit
from segflow.jobs.job import Job, ShardWork
from segflow.jobs.run import Run
from segflow.jobs.shard import ShardResult, finish_shard

_SPAN = 1000  # shards an element of the first collection stands for


@dataclass
class RunShards(beam.PTransform):
    """Works off a run's shards and commits it.

    The input is the pipeline itself; the output holds one `Outcome`. Only shard numbers and
    counts cross the shuffles; rows are read from the plan, results lie in files.
    """

    job: Job
    run: Run

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Outcome]:
        """Builds the graph; nothing runs."""
        count = self.run.shard_count
        spans = [(first, min(first + _SPAN, count)) for first in range(0, count, _SPAN)]
        return (
            pipeline
            | "Spans" >> beam.Create(spans, reshuffle=False).with_output_types(tuple[int, int])
            | "Shards" >> beam.FlatMap(_numbers).with_output_types(tuple[int, None])
            # GroupByKey and not Reshuffle, which some Flink runners ignore in batch.
            | "Spread" >> beam.GroupByKey()
            | "Work" >> beam.ParDo(_FinishShard(self.job, self.run)).with_output_types(ShardResult)
            # Reads no result, only waits for all of them: the commit adds up the records, which
            # also hold those of earlier tries.
            | "Wait" >> beam.CombineGlobally(beam.combiners.CountCombineFn())
            | "Commit" >> beam.Map(_commit, self.job, self.run).with_output_types(Outcome)
        )


def _numbers(span: tuple[int, int]) -> Iterator[tuple[int, None]]:
    return ((number, None) for number in range(*span))


def _commit(_: int, job: Job, run: Run) -> Outcome:
    with storage.full_disk_named(run.output):
        return commit(job, run)


class _FinishShard(beam.DoFn):
    def __init__(self, job: Job, run: Run) -> None:
        self._job, self._run = job, run
        self._work: ShardWork | None = None
        namespace = f"segflow/{job.name}"
        self._namespace = namespace
        self._accepted = Metrics.counter(namespace, "accepted")
        self._rejected = Metrics.counter(namespace, "rejected")
        self._done = Metrics.counter(namespace, "shards_done")
        self._found = Metrics.counter(namespace, "shards_found")

    def setup(self) -> None:
        self._run.require_versions()
        self._work = self._job.open()

    def process(self, element: tuple[int, object]) -> Iterator[ShardResult]:
        assert self._work is not None
        with storage.full_disk_named(self._run.output):
            result = finish_shard(self._job, self._run, self._work, element[0])
        (self._done if result.worked else self._found).inc()
        if result.worked:
            self._accepted.inc(result.accepted)
            self._rejected.inc(result.rejected)
            for code, count in result.rejected_by_code.items():
                Metrics.counter(self._namespace, f"rejected_{code}").inc(count)
        yield result

    def teardown(self) -> None:
        if self._work is not None:
            self._work.close()
