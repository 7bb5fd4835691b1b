"""Workers with other libraries than the launcher's."""

import dataclasses

import numpy as np
import pytest

from segflow.errors import JobError
from tests.unit.jobs.tally import finished


def test_a_worker_with_the_planned_versions_may_work(tmp_path):
    run = finished(tmp_path)
    dataclasses.replace(run, versions={"numpy": np.__version__}).require_versions()


@pytest.mark.parametrize(("name", "found"), [("numpy", r"\d"), ("no-such-library", "none")])
def test_a_worker_with_others_is_refused(tmp_path, name, found):
    run = dataclasses.replace(finished(tmp_path), versions={name: "0.0.1"})
    with pytest.raises(JobError, match=rf"planned with {name} 0.0.1, this worker has {found}"):
        run.require_versions()
