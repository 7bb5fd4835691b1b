"""segflow from Python: a bundle's predictions, and the transforms in a pipeline of one's own."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as BeamPipeline
from apache_beam.testing.util import assert_that, equal_to
from PIL import Image

import segflow
from segflow.data.config import ExampleConfig
from segflow.data.records import decode_example
from tests.bundles import write_bundle

LABEL_MAP = segflow.LabelMap.from_dict(
    {
        "classes": [
            {"id": 0, "name": "dark", "color": [0, 0, 0]},
            {"id": 1, "name": "light", "color": [255, 255, 255]},
        ]
    }
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls a pixel light if white is nearer to it than black."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "model", LABEL_MAP, (32, 48))


def _half_and_half(height: int, width: int) -> np.ndarray:
    image = np.full((height, width, 3), 20, np.uint8)
    image[:, width // 2 :] = 230
    return image


def test_predict_takes_one_image_or_several_of_any_size(bundle: Path) -> None:
    predictor = segflow.load_bundle(bundle, batch_size=2)
    one = predictor.predict(_half_and_half(64, 96))
    assert one.shape == (64, 96)
    assert one.dtype == np.uint8
    several = predictor.predict([_half_and_half(h, w) for h, w in ((64, 96), (31, 50), (10, 8))])
    assert [mask.shape for mask in several] == [(64, 96), (31, 50), (10, 8)]
    np.testing.assert_array_equal(several[0], one)
    for mask in several:
        assert (mask[:, : mask.shape[1] // 2 - 3] == 0).all()
        assert (mask[:, mask.shape[1] // 2 + 3 :] == 1).all()


def test_predict_says_what_it_takes(bundle: Path) -> None:
    with pytest.raises(ValueError, match="images must be RGB, uint8"):
        segflow.load_bundle(bundle).predict(np.zeros((4, 4), np.uint8))


def test_label_images_in_a_users_own_pipeline(bundle: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(_half_and_half(20, 30)).save(good)
    bad.write_text("no image")
    with BeamPipeline() as pipeline:
        out = (
            pipeline
            | beam.Create([str(good), str(bad)])
            | segflow.LabelImages(model=str(bundle), mask_format="none")
        )
        sizes = out.labels | beam.Map(
            lambda row: (row["image_uri"], sum(area["pixels"] for area in row["areas"]))
        )
        codes = out.rejects | beam.Map(lambda row: (row["image_uri"], row["code"]))
        assert_that(sizes, equal_to([(str(good), 600)]), label="labels")
        assert_that(codes, equal_to([(str(bad), "unreadable")]), label="rejects")


def test_ingest_pairs_in_a_users_own_pipeline(tmp_path: Path) -> None:
    image, mask = tmp_path / "a.png", tmp_path / "a-mask.png"
    Image.fromarray(_half_and_half(20, 30)).save(image)
    Image.fromarray((_half_and_half(20, 30)[..., 0] > 128).astype(np.uint8)).save(mask)
    with BeamPipeline() as pipeline:
        out = (
            pipeline
            | beam.Create([("a", str(image), str(mask)), ("b", str(image), str(tmp_path / "no"))])
            | segflow.IngestPairs(LABEL_MAP, ExampleConfig(image_size="10x15", augment_copies=2))
        )
        found = out.examples | beam.Map(_key_and_size)
        codes = out.rejects | beam.Map(lambda row: (row["key"], row["code"]))
        assert_that(found, equal_to([("a", 10, 15)] * 3), label="examples")
        assert_that(codes, equal_to([("b", "unreadable")]), label="rejects")


def _key_and_size(data: bytes) -> tuple[str, int, int]:
    record = decode_example(data)
    return record.source_id, record.height, record.width
