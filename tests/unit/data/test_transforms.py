"""Ingest as a transform in a pipeline of one's own."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from segflow.data.config import ExampleConfig
from segflow.data.records import decode_example
from segflow.data.transforms import EXAMPLES, REJECTS, IngestPairs
from segflow.label_map import LabelClass, LabelMap
from tests.unit.data.pictures import encode, photo

LABELS = LabelMap((LabelClass(0, "a"), LabelClass(1, "b")))
CONFIG = ExampleConfig(image_size="6x8", augment_copies=2)


@pytest.fixture
def pairs(tmp_path: Path) -> list[tuple[str, str, str]]:
    """Two sound pairs, and one without a mask."""
    files = {"image": encode(photo(), "JPEG"), "mask": encode(np.ones((12, 16), np.uint8), "PNG")}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    image, mask = str(tmp_path / "image"), str(tmp_path / "mask")
    return [("a", image, mask), ("b", image, mask), ("c", image, str(tmp_path / "none"))]


def test_pairs_become_examples_and_rejects_that_are_counted(pairs):
    options = PipelineOptions(["--direct_running_mode=in_memory", "--direct_num_workers=1"])
    with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        results = pipeline | beam.Create(pairs) | IngestPairs(LABELS, CONFIG)
        described = results[EXAMPLES] | beam.Map(_describe)
        assert_that(described, equal_to([("a", "image", 6, 8)] * 3 + [("b", "image", 6, 8)] * 3))
        assert_that(results[REJECTS], equal_to([_reject(pairs[2])]), label="rejects")
    counters = pipeline.result.metrics().query()["counters"]
    counts = {c.key.metric.name: c.committed for c in counters}
    assert (counts["accepted"], counts["rejected"]) == (2, 1)
    assert {c.key.metric.namespace for c in counters} == {"segflow/ingest"}


def test_tiles_of_a_pair_become_examples_of_their_own(pairs):
    options = PipelineOptions(["--direct_running_mode=in_memory", "--direct_num_workers=1"])
    config = ExampleConfig(image_size="12x8", resize="tile")
    with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        results = pipeline | beam.Create(pairs[:1]) | IngestPairs(LABELS, config)
        keys = results[EXAMPLES] | beam.Map(lambda data: decode_example(data).source_id)
        assert_that(keys, equal_to(["a@r0000c0000", "a@r0000c0001"]))


def _describe(data: bytes) -> tuple[str, str, int, int]:
    record = decode_example(data)
    return record.source_id, record.filename, record.height, record.width


def _reject(pair: tuple[str, str, str]) -> dict[str, str]:
    key, image, mask = pair
    return {
        "key": key,
        "image_uri": image,
        "mask_uri": mask,
        "code": "unreadable",
        "message": "mask: cannot be opened: No such file or directory",
    }
