"""The whole chain on CamVid: counts, stored masks, labels and scores against the source files."""

import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from segflow import storage
from segflow.dataset import Dataset
from tests.integration import camvid
from tests.integration.commands import segflow
from tests.requirements import shared_data


@pytest.fixture(scope="module")
def root() -> Path:
    return shared_data("camvid")


@pytest.fixture(scope="module")
def full_size(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """CamVid at its own size."""
    output = tmp_path_factory.mktemp("camvid") / "full"
    labels = root / "labels.json"
    segflow(
        *("ingest", "--images", root, "--label-map", labels),
        *("--image-size", "360x480", "--output", output),
    )
    return Dataset.load(output)


@pytest.fixture(scope="module")
def small(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CamVid at 192x256, to train on."""
    output = tmp_path_factory.mktemp("camvid") / "small"
    segflow("ingest", "--images", root, "--image-size", "192x256", "--output", output)
    return output


def test_every_pair_is_accepted_and_the_pixels_are_those_of_the_files(
    root: Path, full_size: Dataset
) -> None:
    inputs = full_size.record["inputs"]
    assert (inputs["listed"], inputs["accepted"], inputs["rejected"]) == (468, 468, 0)
    assert set(full_size.splits) == set(camvid.SPLITS)
    for split, count in camvid.SPLITS.items():
        stored = full_size.record["splits"][split]
        pixels, void = camvid.class_pixels(root, split)
        assert stored["examples"] == stored["sources"] == count
        assert stored["class_pixels"] == pixels
        assert stored["ignored_pixels"] == void


def test_the_sequence_that_lies_in_train_and_val_is_reported(
    root: Path, full_size: Dataset
) -> None:
    images = {
        split: Counter(path.stem.split("_")[0] for path in (root / split).iterdir())
        for split in camvid.SPLITS
    }
    straddling = images["train"].keys() & images["val"].keys()
    assert straddling == {"0016E5"}
    assert full_size.record["groups"] == {
        "groups": len(images["train"] | images["val"]),
        "straddling": 1,
        "largest": [
            {"group": "0016E5", "images": {s: images[s]["0016E5"] for s in ("train", "val")}}
        ],
    }
    page = (full_size.folder / "report.html").read_text(encoding="utf-8")
    assert "One group lies in more than one split: 0016E5" in page


def test_class_weights_are_those_of_the_source_masks(root: Path, full_size: Dataset) -> None:
    masks = [mask.ravel() for _, mask in camvid.masks(root, "train")]
    counts = np.stack([np.bincount(m, minlength=12)[:11] for m in masks]).astype(float)
    pixels, valid = counts.sum(0), counts.sum(1)
    frequency = pixels / [valid[counts[:, c] > 0].sum() for c in range(11)]
    weights = full_size.record["class_weights"]
    recorded = {rule: [values[str(i)] for i in range(11)] for rule, values in weights.items()}
    np.testing.assert_allclose(recorded["median_frequency"], np.median(frequency) / frequency)
    np.testing.assert_allclose(recorded["inverse_frequency"], pixels.sum() / 11 / pixels)


def test_tensorflow_reads_the_source_masks_back(root: Path, full_size: Dataset) -> None:
    feature = {
        "image/source_id": tf.io.FixedLenFeature([], tf.string),
        "image/segmentation/class/encoded": tf.io.FixedLenFeature([], tf.string),
    }
    for split, count in camvid.SPLITS.items():
        stored = {}
        for record in tf.data.TFRecordDataset([str(p) for p in full_size.shard_paths(split)]):
            example = tf.io.parse_single_example(record, feature)
            mask = tf.io.decode_png(example["image/segmentation/class/encoded"], channels=1)
            key = example["image/source_id"].numpy().decode()
            stored[key.removeprefix(f"{split}/")] = mask.numpy()[..., 0]
        source = dict(camvid.masks(root, split))
        assert len(stored) == count
        assert stored.keys() == source.keys()
        for stem, mask in source.items():
            np.testing.assert_array_equal(stored[stem], mask, err_msg=stem)


# Flags of a training, and a mean IoU that it exceeds. Four epochs of a narrow model teach it road,
# sky and buildings; one class everywhere would score below 0.04.
_SHORT = (("--filters", 8, "--epochs", 4), 0.15)
_SOME_MINUTES = (("--max-minutes", 6), 0.25)


@pytest.mark.parametrize("devices", ["cpu:1", "cpu:2"])
@pytest.mark.parametrize(
    ("training", "least"),
    [
        pytest.param(*_SHORT, id="short"),
        pytest.param(*_SOME_MINUTES, id="some minutes", marks=pytest.mark.slow),
    ],
)
def test_labels_of_the_validation_frames_agree_with_evaluate(
    devices: str,
    training: tuple[object, ...],
    least: float,
    root: Path,
    small: Path,
    tmp_path: Path,
) -> None:
    model, labels, scored = tmp_path / "model", tmp_path / "labels", tmp_path / "scores"
    segflow(
        *("train", "--dataset", small, "--devices", devices, *training, "--output", model),
    )
    segflow("label", "--model", model, "--images", root / "val", "--output", labels)
    printed = segflow(
        *("evaluate", "--model", model, "--output", scored),
        *("--images", root / "val", "--masks", root / "valannot"),
    )

    record = storage.read_json(next((labels / "runs").iterdir()))
    predicted = {}
    for file in record["files"]:
        if file["path"].startswith("images/"):
            for row in pq.read_table(labels / file["path"]).to_pylist():
                mask = np.asarray(Image.open(io.BytesIO(row["mask"])))
                assert mask.shape == camvid.SIZE == (row["height"], row["width"])
                assert mask.dtype == np.uint8
                assert mask.max() < camvid.CLASSES
                predicted[Path(row["image_uri"]).stem] = mask
        if file["path"].startswith("areas/"):
            areas = pq.read_table(labels / file["path"]).to_pandas()
            assert (areas.groupby("image_uri").pixels.sum() == 172_800).all()
    assert len(predicted) == camvid.SPLITS["val"]

    said = re.search(r"^mean IoU: (\S+)$", printed, re.MULTILINE)
    assert said is not None
    assert float(said[1]) == pytest.approx(camvid.mean_iou(root, "val", predicted), abs=1e-9)
    assert storage.read_json(scored / "metrics.json")["mean_iou"] == float(said[1])
    assert float(said[1]) > least
    for folder in (small, model, labels, scored):
        segflow("verify", folder)
