"""The same input gives the same bytes, however many workers run, of whatever kind, wherever."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import pyarrow.parquet as pq
import pytest

from segflow.data.augment_config import AugmentationConfig
from segflow.data.command import ingest
from segflow.data.config import IngestConfig
from segflow.data.tiles import TileConfig
from segflow.dataset import Dataset
from segflow.drawing import LABEL_MAP, DrawnDataset, draw_collection, draw_dataset
from segflow.models.registry import build_model
from tests.bundles import write_bundle
from tests.integration.commands import segflow
from tests.integration.outputs import contents

_MODES = ("in_memory", "multi_threading", "multi_processing")
_RUNNERS = [
    pytest.param((f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"), id=name)
    for workers in (1, 2)
    for mode in _MODES
    if (name := f"{workers} {mode}") != "1 in_memory"
]
_DULL = ("1 multi_threading", "2 in_memory")
# TensorFlow takes its time to start, and these two have the least to tell.
_LABEL_RUNNERS = [
    pytest.param(*p.values, id=p.id, marks=[] if p.id not in _DULL else [pytest.mark.slow])
    for p in _RUNNERS
]
_REFERENCE = ("--direct_num_workers=1", "--direct_running_mode=in_memory")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> DrawnDataset:
    return draw_dataset(tmp_path_factory.mktemp("pairs"), examples=60, size=(64, 80))


@pytest.fixture(
    scope="module",
    params=["stretch", "letterbox", "tile", pytest.param("crop", marks=pytest.mark.slow)],
)
def resize(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dataset(pairs: DrawnDataset, resize: str, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return _ingest(pairs, resize, tmp_path_factory.mktemp("dataset") / "output", _REFERENCE)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of many sizes, and a network whose convolutions add up many numbers."""
    folder = tmp_path_factory.mktemp("collection")
    draw_collection(folder / "images", pictures=24)
    keras.utils.set_random_seed(0)
    size = (64, 96)
    model = build_model("unet", size, LABEL_MAP.num_classes, {"filters": 4, "depth": 2})
    write_bundle(folder / "model", LABEL_MAP, size, model=model)
    return folder


@pytest.fixture(scope="module")
def labels(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _label(collection, tmp_path_factory.mktemp("labels") / "output", _REFERENCE)


@pytest.mark.parametrize("runner", _RUNNERS)
def test_ingest(
    pairs: DrawnDataset, resize: str, dataset: Dataset, tmp_path: Path, runner: Sequence[str]
) -> None:
    again = _ingest(pairs, resize, tmp_path / "output", runner)
    assert again.fingerprint == dataset.fingerprint
    assert contents(again.folder) == contents(dataset.folder)


def test_ingest_of_data_that_were_moved(
    pairs: DrawnDataset, resize: str, dataset: Dataset, tmp_path: Path
) -> None:
    moved = {
        name: shutil.copytree(source, tmp_path / name, copy_function=shutil.copyfile)
        for name, source in (("images", pairs.images), ("masks", pairs.masks))
    }
    elsewhere = DrawnDataset(**{**vars(pairs), **moved})
    again = _ingest(elsewhere, resize, tmp_path / "output", _REFERENCE)
    assert again.fingerprint == dataset.fingerprint
    assert _tfrecords(again) == _tfrecords(dataset)
    assert _index_without_places(again) == _index_without_places(dataset)


@pytest.mark.parametrize("runner", _LABEL_RUNNERS)
def test_label(
    collection: Path, labels: dict[str, str], tmp_path: Path, runner: Sequence[str]
) -> None:
    assert _label(collection, tmp_path / "output", runner) == labels


def test_label_with_another_number_of_threads(
    collection: Path, labels: dict[str, str], tmp_path: Path
) -> None:
    assert _label(collection, tmp_path / "output", ["--worker-threads=3"]) == labels


def _ingest(pairs: DrawnDataset, resize: str, output: Path, runner: Sequence[str]) -> Dataset:
    config = IngestConfig(
        layout="paired",
        images=str(pairs.images),
        masks=str(pairs.masks),
        label_map=str(pairs.label_map),
        image_size="48x60",
        tile=TileConfig(overlap=8, edge="shift"),
        resize=resize,  # type: ignore[arg-type]
        augment_copies=2,
        augmentation=AugmentationConfig(preset="strong"),
        shard_size=8,
        max_reject_fraction=0.2,
        output=str(output),
    )
    dataset = ingest(config, runner)
    assert dataset.splits["train"].examples == 3 * dataset.splits["train"].sources
    assert (dataset.record["inputs"]["accepted"] < _sources(dataset)) == (resize == "tile")
    assert dataset.record["inputs"]["rejected"] == len(pairs.broken)
    return dataset


def _sources(dataset: Dataset) -> int:
    return sum(split.sources for split in dataset.splits.values())


def _label(collection: Path, output: Path, flags: Sequence[str]) -> dict[str, str]:
    # In a process of its own: TensorFlow reads its number of threads once.
    segflow(
        *("label", f"--model={collection / 'model'}", f"--images={collection / 'images'}"),
        *(f"--output={output}", "--shard-size=6", "--batch-size=4", *flags),
    )
    made = contents(output)
    assert sum(name.startswith("images/") for name in made) == 5
    return made


def _tfrecords(dataset: Dataset) -> dict[str, str]:
    files = contents(dataset.folder)
    return {name: digest for name, digest in files.items() if name.endswith(".tfrecord")}


def _index_without_places(dataset: Dataset) -> list[dict[str, object]]:
    return [
        pq.read_table(part).drop_columns(["image_uri", "mask_uri"]).to_pylist()
        for part in sorted((dataset.folder / "index").iterdir())
    ]
