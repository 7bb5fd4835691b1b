"""What ends a training that has gone wrong, without a training."""

from types import SimpleNamespace

import pytest

from segflow.errors import JobError
from segflow.train.guards import StopOnNonFinite


def _guard() -> StopOnNonFinite:
    guard = StopOnNonFinite(lambda epoch, batch: [f"epoch {epoch}", f"batch {batch}"])
    guard.set_model(SimpleNamespace(fault=None))
    return guard


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_what_is_not_finite_stops_and_says_where_and_from_which_examples(fault):
    guard = _guard()
    guard.on_epoch_begin(2)
    guard.on_train_batch_end(10, {"loss": 3.0})
    guard.model.fault = fault
    message = f"the {fault} is not finite in epoch 3, batch 12, of the examples epoch 2, batch 11;"
    with pytest.raises(JobError, match=message):
        guard.on_train_batch_end(11, {"loss": 3.0})


@pytest.mark.parametrize("loss", [float("nan"), float("-inf")])
def test_weights_that_have_grown_too_large_are_found_by_the_validation(loss):
    guard = _guard()
    guard.on_epoch_end(1, {"loss": 3.0, "val_loss": 2.0})
    with pytest.raises(JobError, match=f"validation loss is {loss} after epoch 3;"):
        guard.on_epoch_end(2, {"loss": 3.0, "val_loss": loss})
