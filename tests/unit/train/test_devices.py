"""Devices: what is asked for, and that their number changes no result."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from segflow.errors import UsageError
from segflow.train.devices import build_strategy
from tests.requirements import ROOT


def test_one_and_two_devices_give_equal_losses_metrics_and_weights():
    command = [sys.executable, "-m", "tests.unit.train.replicas"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    one, two = json.loads(result.stdout)
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["history"]["loss"][0] > one["history"]["loss"][1]
    for key, values in one["history"].items():
        np.testing.assert_allclose(two["history"][key], values, rtol=1e-6, err_msg=key)
    for key, value in one["scores"].items():
        np.testing.assert_allclose(two["scores"][key], value, rtol=1e-6, err_msg=key)
    np.testing.assert_array_equal(two["confusion"], one["confusion"])
    np.testing.assert_allclose(two["kernel"], one["kernel"], atol=1e-6)


def test_more_gpus_than_there_are_is_a_usage_error():
    there = len(tf.config.list_physical_devices("GPU"))
    with pytest.raises(UsageError, match=f"--devices gpu:{there + 1}: .* {there} GPUs"):
        build_strategy(f"gpu:{there + 1}")


def test_replicas_asked_for_too_late_are_a_usage_error():
    tf.zeros(1)  # TensorFlow is in use from here on
    with pytest.raises(UsageError, match=r"cpu:64.*fresh process"):
        build_strategy("cpu:64")
