"""Ingest as a PTransform for pipelines of one's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from segflow.data import contained
from segflow.data.config import ExampleConfig
from segflow.data.pair import make_examples
from segflow.data.pieces import read_pieces
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
        self._config, self._label_map = config, label_map
        self._accepted = Metrics.counter("segflow/ingest", "accepted")
        self._rejected = Metrics.counter("segflow/ingest", "rejected")

    def teardown(self) -> None:
        contained.close()

    def process(self, pair: tuple[str, str, str]) -> Iterator[Any]:
        key, image, mask = pair
        row = {"key": key, "image_uri": image, "mask_uri": mask}
        name = Path(image).name
        copies, config, labels = self._config.augment_copies, self._config, self._label_map
        try:
            # All tiles of a picture, or none: only when the last is made is it accepted.
            examples = [
                example
                for piece in read_pieces(row, labels, config)
                for example in make_examples(piece.pair, piece.key, name, copies, config, labels)
            ]
        except RejectError as error:
            self._rejected.inc()
            reject = {**row, "code": str(error.code), "message": str(error)}
            yield beam.pvalue.TaggedOutput(REJECTS, reject)
            return
        self._accepted.inc()
        for example in examples:
            yield encode_example(example.record)
