"""What members say of true classes, on a sample of pixels that a seed decides."""

from pathlib import Path

import numpy as np
import pytest

from segflow.dataset import Dataset
from segflow.ensemble import likelihoods
from segflow.ensemble.config import EnsembleConfig
from segflow.train.input import stored_examples
from tests.unit.models import averages
from tests.unit.train.datasets import SIZE, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("likelihoods") / "data"
    return Dataset.load(write_dataset(folder, {"val": [2, 3]}))


@pytest.fixture(scope="module")
def models() -> list:
    return [averages.tiny_model(seed, size) for seed, size in enumerate([SIZE, (8, 12)])]


def _sample(models: list, dataset: Dataset, seed: int = 0, batch_size: int = 2) -> np.ndarray:
    config = EnsembleConfig(
        model=("a", "b"), output=str(Path("o")), batch_size=batch_size, seed=seed
    )
    return likelihoods.sample_likelihoods(models, SIZE, dataset, config)


def test_of_few_pixels_all_that_count_are_taken(models, dataset):
    found = _sample(models, dataset)

    expected = []
    for image, mask, _ in stored_examples(dataset, "val").as_numpy_iterator():
        said = np.stack([averages.ask(model, image[None])[0] for model in models], -1)
        rows, columns = np.nonzero(mask != dataset.label_map.ignore_id)
        expected.append(said[rows, columns, mask[rows, columns]])
    assert found.shape == (5 * 15 * 24, 2)  # the first row of each mask is ignored
    for mine, theirs in zip(np.split(found, 5), expected, strict=True):
        for part in (mine, theirs):
            part.sort(axis=0)  # the pixels of an image come in an order of their own
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_each_image_gives_equally_many_and_the_seed_says_which(models, dataset, monkeypatch):
    monkeypatch.setattr(likelihoods, "_PIXELS", 50)

    found = _sample(models, dataset)

    assert found.shape == (50, 2)
    np.testing.assert_allclose(found, _sample(models, dataset, batch_size=5), atol=1e-6)
    assert not np.allclose(found, _sample(models, dataset, seed=1))
