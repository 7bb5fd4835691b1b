"""Training from ImageNet's weights on real frames, as a user does it."""

import io
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from pipelines import cli, main
from segflow import storage
from segflow.models.backbones import is_backbone_layer
from segflow.train.bundle import Bundle
from segflow.train.config import TrainConfig
from tests.drawn import rows_of
from tests.integration import camvid
from tests.integration.commands import segflow
from tests.programs import IN_MEMORY, run_here
from tests.requirements import ROOT, shared_data, shared_weights

FRAMES = {"train": 8, "val": 3}
SIZE = (96, 128)
RECIPE = ROOT / "examples" / "camvid.yaml"


@pytest.fixture(scope="module")
def weights() -> Path:
    return shared_weights() / "mobilenet_1.0_224_no_top.weights.h5"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few frames of CamVid, in its folders."""
    source, folder = shared_data("camvid"), tmp_path_factory.mktemp("camvid")
    for split, count in FRAMES.items():
        for name in (split, f"{split}annot"):
            (folder / name).mkdir()
            for path in sorted((source / name).iterdir())[:count]:
                shutil.copy(path, folder / name)
    shutil.copy(source / "labels.json", folder)
    return folder


@pytest.fixture(scope="module")
def dataset(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("datasets") / "dataset"
    words = (f"--images={frames}", f"--label-map={frames}/labels.json", "--image-size=96x128")
    assert main.main(["ingest", "--layout=camvid", *words, f"--output={output}", IN_MEMORY]) == 0
    return output


@pytest.fixture(scope="module")
def frozen(dataset: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An epoch of the recipe, with the backbone frozen to the end."""
    output = tmp_path_factory.mktemp("models") / "frozen"
    words = ["--epochs=1", "--freeze-backbone-epochs=1", "--schedule-options.warmup-epochs=0"]
    assert main.main(["train", *_recipe_words(dataset, weights, output), *words]) == 0
    return Bundle.load(output)


@pytest.fixture(scope="module")
def tuned(dataset: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An epoch frozen and one of fine-tuning on two devices, so in a process of its own."""
    output = tmp_path_factory.mktemp("models") / "tuned"
    segflow(
        *("train", f"--dataset={dataset}", f"--output={output}", "--devices=cpu:2"),
        *("--architecture=fpn", "--filters=8", "--backbone=mobilenet", f"--weights={weights}"),
        *("--epochs=2", "--freeze-backbone-epochs=1", "--fine-tune-learning-rate=0.001"),
        "--batch-size=4",
    )
    return Bundle.load(output)


def _recipe_words(dataset: Path, weights: Path, output: Path) -> list[str]:
    """What the recipe is used with, and nothing else."""
    return [
        *(f"--config={RECIPE}", f"--dataset={dataset}", f"--weights={weights}"),
        f"--output={output}",
    ]


def _pairs(model: keras.Model, weights: Path) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Each weight of a backbone, moving statistics too, and what the file has in its place.

    In the file, layers are called by their kind and their number among those of that kind.
    """
    kinds = {"Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d"}
    kinds["BatchNormalization"] = "batch_normalization"
    seen: Counter[str] = Counter()
    with h5py.File(weights) as file:
        for layer in model.layers:
            if is_backbone_layer(layer) and layer.weights:
                kind = kinds[type(layer).__name__]
                number = f"_{seen[kind]}" if seen[kind] else ""
                seen[kind] += 1
                stored = file[f"layers/{kind}{number}/vars"]
                assert len(stored) == len(layer.weights)
                for i, variable in enumerate(layer.get_weights()):
                    yield f"{layer.name}/{i}", variable, stored[str(i)][()]


def test_a_frozen_backbone_is_bit_by_bit_what_the_file_holds(frozen: Bundle, weights: Path) -> None:
    pairs = list(_pairs(frozen.load_model(), weights))
    assert len(pairs) == 27 + 27 * 4  # convolutions and batch norms of a MobileNet
    for name, found, stored in pairs:
        np.testing.assert_array_equal(found, stored, err_msg=name)


def test_pixels_as_they_are_give_the_features_of_the_published_network(
    frozen: Bundle, weights: Path, frames: Path
) -> None:
    """What the network wants done to pixels is done inside the bundle's model."""
    said = frozen.record["normalisation"]
    assert said == {"input": "RGB, 0-255", "inside_model": "x / 127.5 - 1"}
    with Image.open(min((frames / "val").iterdir())) as picture:
        small = picture.convert("RGB").resize((SIZE[1], SIZE[0]))
    pixels = np.asarray(small, np.float32)[np.newaxis]
    published = keras.applications.MobileNet(
        include_top=False, weights=str(weights), input_shape=(*SIZE, 3)
    )
    expected = published(keras.applications.mobilenet.preprocess_input(pixels.copy())).numpy()
    model = keras.models.load_model(frozen.model_path)
    features = keras.Model(model.input, model.get_layer("backbone_conv_pw_13_relu").output)
    assert expected.max() > 1
    np.testing.assert_allclose(features(pixels).numpy(), expected, atol=1e-4)


def test_fine_tuning_changes_the_backbone_and_its_statistics(tuned: Bundle, weights: Path) -> None:
    """The first epoch leaves it as it is, so what was kept tells which of them it is of."""
    training = tuned.record["training"]
    assert (training["epochs_run"], training["freeze_backbone_epochs"]) == (2, 1)
    pairs = list(_pairs(tuned.load_model(), weights))
    kept = {np.array_equal(found, stored) for _, found, stored in pairs}
    assert kept == {training["best_epoch"] == 1}


def test_what_it_labels_has_the_size_of_the_frames(
    tuned: Bundle, frames: Path, tmp_path: Path
) -> None:
    labels, scored = tmp_path / "labels", tmp_path / "scores"
    flags = [f"--model={tuned.folder}", f"--images={frames / 'val'}", IN_MEMORY]
    assert main.main(["label", *flags, f"--output={labels}"]) == 0
    predicted = {}
    for row in rows_of(labels, "images"):
        with Image.open(io.BytesIO(row["mask"])) as picture:
            predicted[Path(row["image_uri"]).stem] = mask = np.asarray(picture)
        assert mask.shape == (row["height"], row["width"]) == camvid.SIZE
        assert mask.max() < camvid.CLASSES
    assert len(predicted) == FRAMES["val"]
    masks = f"--masks={frames / 'valannot'}"
    assert main.main(["evaluate", *flags, masks, f"--output={scored}"]) == 0
    found = storage.read_json(scored / "metrics.json")["mean_iou"]
    assert found == pytest.approx(camvid.mean_iou(frames, "val", predicted), abs=1e-9)


OTHERS = [
    ("mobilenet_1.0_224_no_top.weights.h5", ["--backbone=mobilenet_v2"]),
    ("mobilenet_1.0_224_no_top.weights.h5", ["--backbone=mobilenet", "--backbone-alpha=0.5"]),
    ("mobilenet_v2_0.35_224_no_top.weights.h5", ["--backbone=mobilenet_v2"]),
]


@pytest.mark.parametrize(("file", "flags"), OTHERS)
def test_weights_of_another_backbone_or_width_are_refused_in_one_line(
    file: str,
    flags: list[str],
    dataset: Path,
    weights: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path, output = weights.with_name(file), tmp_path / "model"
    where = [f"--dataset={dataset}", f"--weights={path}", f"--output={output}"]
    ran = run_here(capfd, "train", *where, *flags)
    assert ran.code == 2
    backbone, *alpha = (flag.partition("=")[2] for flag in flags)
    width = f" of --backbone-alpha {alpha[0]}" if alpha else ""
    assert ran.line.startswith(
        f"segflow train: --weights {path}: no weights of keras.applications for {backbone}{width} "
        "without its top: "
    )
    remedy = "name the --backbone and --backbone-alpha that the file is of, or another file"
    assert ran.line.endswith(remedy)
    assert not output.exists()


def test_the_recipe_takes_a_dataset_weights_and_an_output_alone(
    frozen: Bundle, dataset: Path, weights: Path, tmp_path: Path
) -> None:
    recipe = yaml.safe_load(RECIPE.read_text())
    words = _recipe_words(dataset, weights, tmp_path / "model")
    config = cli.parse("train", TrainConfig, words, takes_beam_flags=False).config
    _assert_holds(config.to_dict(), recipe)
    assert config.max_minutes == 15
    for name in ("epochs", "schedule_options"):  # told otherwise
        recipe.pop(name)
    _assert_holds(frozen.record["training"], recipe)


def _assert_holds(settings: Mapping[str, Any], some: Mapping[str, Any]) -> None:
    for name, value in some.items():
        found = settings[name]
        assert (found | value if isinstance(value, dict) else value) == found, name
