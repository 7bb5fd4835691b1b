"""The number of devices changes neither losses nor gradients nor metrics."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from segflow.train.loss_config import LOSS_NAMES
from tests.requirements import ROOT


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """By number of devices and name of the loss."""
    command = [sys.executable, "-m", "tests.unit.train.losses.replicas"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.parametrize("devices", ["2", "4"])
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_devices_do_not_change_a_loss(measured, name, devices):
    one, several = measured["1"][name], measured[devices][name]
    for kind in ("full", "filled up"):
        for alone, shared in zip(one[kind], several[kind], strict=True):
            np.testing.assert_allclose(shared, alone, rtol=1e-6, atol=1e-6, err_msg=kind)
    assert several["confusion"] == one["confusion"]
    assert np.abs(one["full"][1]).max() > 1e-4
