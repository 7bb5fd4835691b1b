"""Ingest as a PTransform for pipelines of one's own."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from segflow.data import contained
from segflow.data.ahead import make_ahead
from segflow.data.config import ExampleConfig
from segflow.data.making import Recipe
from segflow.data.records import encode_example
from segflow.errors import RejectError
from segflow.label_map import LabelMap

EXAMPLES, REJECTS = "examples", "rejects"


@dataclass
class IngestPairs(beam.PTransform):
    """Turns (key, image path, mask path) into serialised `tf.train.Example`s.

    Attributes:
        label_map: The classes.
        config: Size, resizing, augmentation and encoding of the examples.

    Returns:
        Two collections: `examples` of bytes, one for each variant of each pair, with the
        features of `segflow.data.records`; and `rejects` of dicts {`key`, `image_uri`,
        `mask_uri`, `code`, `message`}.
    """

    label_map: LabelMap
    config: ExampleConfig

    def expand(self, pairs: beam.PCollection[tuple[str, str, str]]) -> Any:
        """Builds the graph."""
        return pairs | "Make examples" >> beam.ParDo(
            _MakeExamples(self.config, self.label_map)
        ).with_outputs(REJECTS, main=EXAMPLES)


class _MakeExamples(beam.DoFn):
    def __init__(self, config: ExampleConfig, label_map: LabelMap) -> None:
        self._recipe = Recipe(config, label_map)
        self._accepted = Metrics.counter("segflow/ingest", "accepted")
        self._rejected = Metrics.counter("segflow/ingest", "rejected")

    def teardown(self) -> None:
        contained.close()

    def process(self, pair: tuple[str, str, str]) -> Iterator[Any]:
        key, image, mask = pair
        row, recipe = {"key": key, "image_uri": image, "mask_uri": mask}, self._recipe
        try:
            # All tiles of a picture, or none: only when the last is made is it accepted.
            with contextlib.closing(
                make_ahead([row], recipe.config.augment_copies, recipe)
            ) as rows:
                records = [made.record for _, examples in rows for made in examples]
        except RejectError as error:
            self._rejected.inc()
            reject = {**row, "code": str(error.code), "message": str(error)}
            yield beam.pvalue.TaggedOutput(REJECTS, reject)
            return
        self._accepted.inc()
        for record in records:
            yield encode_example(record)
