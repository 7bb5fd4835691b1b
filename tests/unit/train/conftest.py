"""A tiny dataset for every test of training."""

from pathlib import Path

import pytest

from tests.unit.train.datasets import write_dataset


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 training examples in two shards, 5 for validation; 16 x 24 pixels, 3 classes."""
    folder = tmp_path_factory.mktemp("datasets") / "small"
    return write_dataset(folder, {"train": [7, 5], "val": [5]})
