"""The model handler in plain Beam pipelines."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

import segflow
from segflow.errors import UsageError
from segflow.label import predictor
from segflow.label.predictor import Predictor
from tests.bundles import write_bundle
from tests.drawn import LABELS, scene

BATCH = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "model", LABELS, (16, 24))


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    """Of as many sizes; one batch is not full."""
    return {f"image-{n}": scene(n, (20 + n, 45 - n))[0] for n in range(2 * BATCH + 3)}


def _same(bundle: Path, images: dict[str, np.ndarray]) -> Any:
    """A check that results are, key by key, what a predictor says."""
    expected = dict(
        zip(images, segflow.load_bundle(bundle).segment(list(images.values())), strict=True)
    )

    def check(results: list[Any]) -> None:
        assert len(results) == len(expected)
        for key, result in results:
            assert np.array_equal(result.example, images[key])
            assert np.array_equal(result.inference.mask, expected[key].mask)
            assert result.inference.confidence == pytest.approx(expected[key].confidence, abs=1e-6)
            assert result.model_id == str(bundle)

    return check


def test_keyed_images_give_what_a_predictor_says_with_metrics(bundle, images, monkeypatch):
    loaded, traced = [], []
    load, forward = predictor.load_bundle, Predictor._logits_and_statistics
    check = _same(bundle, images)

    def noting_load(*arguments, **options):
        loaded.append((*arguments, options["batch_size"]))
        return load(*arguments, **options)

    def noting_trace(self, pixels):
        traced.append(tuple(pixels.shape))
        return forward(self, pixels)

    monkeypatch.setattr(predictor, "load_bundle", noting_load)
    monkeypatch.setattr(Predictor, "_logits_and_statistics", noting_trace)
    handler = segflow.SegmentationModelHandler(bundle, batch_size=BATCH)

    pipeline = beam.Pipeline(runner=FnApiRunner())
    results = (
        pipeline
        | beam.Create(list(images.items()), reshuffle=False)
        | RunInference(KeyedModelHandler(handler))
    )
    assert_that(results, check)
    ran = pipeline.run()
    ran.wait_until_finish()

    assert loaded == [(str(bundle), BATCH)]
    assert traced == [(BATCH, 16, 24, 3)]
    counters = ran.metrics().query(MetricsFilter().with_namespace("segflow/label"))
    found = {c.key.metric.name: c.committed for c in counters["counters"]}
    assert found["num_inferences"] == len(images)
    sizes = {d.key.metric.name: d.committed for d in counters["distributions"]}
    assert sizes["inference_request_batch_size"].max == BATCH
    bytes_seen = sizes["inference_request_batch_byte_size"].sum
    assert bytes_seen >= sum(image.nbytes for image in images.values())  # keys count, too
    assert handler.get_num_bytes(list(images.values())) == sum(i.nbytes for i in images.values())


def test_a_model_that_processes_share_says_the_same(bundle, images):
    """Then Beam hands over a proxy, with methods alone."""
    handler = segflow.SegmentationModelHandler(bundle, batch_size=BATCH, large_model=True)
    assert handler.share_model_across_processes()

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        results = (
            pipeline
            | beam.Create(list(images.items()), reshuffle=False)
            | RunInference(KeyedModelHandler(handler))
        )
        assert_that(results, _same(bundle, images))


@pytest.mark.parametrize("how", [{"tta": "flip"}, {"windows": "always", "window_overlap": 0.5}])
def test_views_and_windows_are_those_of_a_predictor(bundle, images, how):
    handler = segflow.SegmentationModelHandler(str(bundle), **how)
    some = list(images.values())[:3]

    found = handler.run_inference(some, handler.load_model())

    expected = segflow.load_bundle(bundle, **how).segment(some)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.inference.mask, other.mask)


@pytest.mark.parametrize("made", [segflow.SegmentationModelHandler, segflow.LabelImages])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1 or more, found 0"),
        ({"tta": "rotate"}, "tta must be none, flip, flip_scale, received 'rotate'"),
        ({"windows": "some"}, "--windows must be auto, always or never, found some"),
        ({"window_overlap": 0.9}, "--window-overlap must be 0 to 0.5, found 0.9"),
    ],
)
def test_options_are_checked_where_a_pipeline_is_built(made, how, message):
    with pytest.raises((UsageError, ValueError), match=message):
        made("m", **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"mask_format": "jpeg"}, "mask_format must be one of png, rle, none, found jpeg"),
        ({"ground_resolution": 0}, "ground_resolution must be .*, found 0"),
    ],
)
def test_masks_and_areas_are_checked_there_too(how, message):
    with pytest.raises(UsageError, match=message):
        segflow.LabelImages("m", **how)


def test_batches_are_of_one_size_and_beams_options_are_kept():
    handler = segflow.SegmentationModelHandler("m", batch_size=5, max_batch_duration_secs=2)
    assert handler.batch_elements_kwargs() == {
        "min_batch_size": 5,
        "max_batch_size": 5,
        "max_batch_duration_secs": 2,
    }
    assert not handler.share_model_across_processes()


def test_arguments_of_inference_are_refused_when_the_pipeline_is_built():
    with (
        pytest.raises(ValueError, match=r"inference_args must be none, received \['training'\]"),
        beam.Pipeline(runner=FnApiRunner()) as pipeline,
    ):
        _ = (
            pipeline
            | beam.Create([scene(0)[0]])
            | RunInference(segflow.SegmentationModelHandler("m"), inference_args={"training": 1})
        )


def test_a_newer_model_takes_the_place_of_the_first(bundle, tmp_path):
    """As where `RunInference` watches a folder of bundles."""
    handler = segflow.SegmentationModelHandler(tmp_path / "first")
    handler.update_model_path(str(bundle))
    handler.update_model_path("")  # nothing new

    (found,) = handler.run_inference([scene(0)[0]], handler.load_model())
    assert found.model_id == str(bundle)
