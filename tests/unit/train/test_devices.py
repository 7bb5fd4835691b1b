"""Devices: what is asked for, and that their number changes no result."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from segflow.errors import UsageError
from segflow.train import checkpoint
from segflow.train.devices import build_strategy
from tests.requirements import ROOT
from tests.unit.train.commands import COMMIT, EVERYTHING, train_until_killed


@pytest.fixture(scope="module")
def results():
    """What `replicas` found for one and two devices."""
    command = [sys.executable, "-m", "tests.unit.train.replicas"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def _assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_one_and_two_devices_give_equal_losses_metrics_and_weights(results):
    one, two = results["fit"]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["history"]["loss"][0] > one["history"]["loss"][1]
    for key, values in one["history"].items():
        np.testing.assert_allclose(two["history"][key], values, rtol=1e-6, err_msg=key)
    for key, value in one["scores"].items():
        np.testing.assert_allclose(two["scores"][key], value, rtol=1e-6, err_msg=key)
    np.testing.assert_array_equal(two["confusion"], one["confusion"])
    _assert_close(two["weights"], one["weights"])


def test_they_also_do_with_synchronised_batch_norm(results):
    """After a step at a rate of 1, weights differ by the gradient, statistics by the batch's."""
    one, two = results["normalised"]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-6)
    _assert_close(two["weights"], one["weights"])
    changes = zip(one["before"], one["weights"], strict=True)
    assert all(np.abs(np.subtract(a, b)).max() for a, b in changes)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_whole_training_with_every_option_comes_to_the_same_on_both(
    dataset_folder, tmp_path, optimizer
):
    """Frozen epochs, accumulation, clipping, moving average, sampling, class weights, and more."""
    found = []
    for devices in ("cpu:1", "cpu:2"):
        settings = {**EVERYTHING, "sync-batch-norm": True, "optimizer": optimizer}
        output = tmp_path / devices
        train_until_killed(dataset_folder, output, COMMIT, 1, {**settings, "devices": devices})
        found.append(checkpoint.load(output / "_train"))
    one, two = found
    assert (len(one.state.rows), one.state.best_epoch) == (4, two.state.best_epoch)
    for row, other in zip(one.state.rows, two.state.rows, strict=True):
        for name in ("loss", "val_loss", "learning_rate"):
            assert getattr(other, name) == pytest.approx(getattr(row, name), rel=1e-6), name
        for name in ("mean_iou", "val_mean_iou", "val_pixel_accuracy"):
            assert getattr(other, name) == getattr(row, name), name
    for name in ("weights", "optimizer", "best_weights"):
        _assert_close(getattr(two, name), getattr(one, name))


@pytest.mark.parametrize("devices", [0, 1])
@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_a_step_that_is_not_finite_on_one_replica_changes_nothing_on_any(results, fault, devices):
    found = results["spoilt"][devices][fault]
    assert found["fault"] == fault
    before, after = found["states"]
    assert after == before


@pytest.mark.parametrize("devices", [0, 1])
def test_loss_scaling_skips_a_gradient_that_overflows_and_the_training_goes_on(results, devices):
    found = results["spoilt"][devices]["scaled gradient"]
    assert found["fault"] is None
    before, after = found["states"]
    changed = {path for path in before if before[path] != after[path]}
    assert {path.split("/")[-1] for path in changed} == {
        "dynamic_scale",
        "step_counter",
        "moving_mean",
        "moving_variance",
    }
    (scale,) = (path for path in changed if path.endswith("dynamic_scale"))
    np.testing.assert_array_equal(after[scale], np.divide(before[scale], 2))


def test_more_gpus_than_there_are_is_a_usage_error():
    there = len(tf.config.list_physical_devices("GPU"))
    with pytest.raises(UsageError, match=f"--devices gpu:{there + 1}: .* {there} GPUs"):
        build_strategy(f"gpu:{there + 1}")


def test_replicas_asked_for_too_late_are_a_usage_error():
    tf.zeros(1)  # TensorFlow is in use from here on
    with pytest.raises(UsageError, match=r"cpu:64.*fresh process"):
        build_strategy("cpu:64")
