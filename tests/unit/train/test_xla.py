"""Training steps that XLA compiles, against the same steps without it."""

import keras
import numpy as np
import pytest

from segflow.dataset import Dataset
from segflow.train.fitting import compiled
from segflow.train.input import evaluation_batches, training_batches
from segflow.train.loss_config import LOSS_NAMES
from tests.unit.train.datasets import small_config


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "+".join(LOSS_NAMES)},
        {"accumulation": 2, "clip_norm": 0.1, "moving_average": 0.9},
        {"optimizer": "sgd", "accumulation": 2},
    ],
    ids=["every loss", "accumulated, clipped and averaged", "sgd"],
)
def test_xla_changes_no_result(dataset_folder, settings):
    dataset = Dataset.load(dataset_folder)
    found = []
    for xla in (True, False):
        config = small_config(dataset_folder, "out", xla=xla, filters=2, depth=1, **settings)
        keras.utils.set_random_seed(0)
        model, metric = compiled(config, dataset, None, None)
        steps = {"steps_per_epoch": 3, "shuffle": False, "verbose": 0}
        model.fit(training_batches(dataset, config, 0), **steps)
        losses = model.evaluate(evaluation_batches(dataset, "val", 4), verbose=0)
        assert metric.numpy().sum() == 5 * 15 * 24
        variables = [*model.variables, *model.optimizer.variables]
        found.append((losses[0], [v.numpy() for v in variables]))
    (loss, values), (expected, others) = found
    assert loss == pytest.approx(expected, rel=1e-4)
    for a, b in zip(values, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
