"""Fitted weights reach the least loss, as a general optimiser finds it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from segflow.ensemble.weights import fit_weights, negative_log_likelihood


def _draw(seed: int, members: int, pixels: int = 400) -> np.ndarray:
    """Members of unequal worth, each right where others are wrong."""
    rng = np.random.default_rng(seed)
    return rng.beta(rng.uniform(0.3, 4, members), rng.uniform(0.3, 2, members), (pixels, members))


def _least_loss(likelihoods: np.ndarray) -> float:
    """SLSQP in the simplex, from its middle."""
    members = likelihoods.shape[1]
    found = minimize(
        lambda w: -np.log(likelihoods @ w).mean(),
        np.full(members, 1 / members),
        method="SLSQP",
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    return float(found.fun)


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_the_loss_is_the_least_there_is(seed, members):
    likelihoods = np.clip(_draw(seed, members), 1e-6, 1)

    weights = fit_weights(likelihoods)

    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    loss = negative_log_likelihood(likelihoods, weights)
    assert loss == pytest.approx(_least_loss(likelihoods), abs=1e-5)


def test_a_member_that_is_worse_everywhere_gets_nothing():
    good = _draw(0, 1)
    weights = fit_weights(np.hstack([good, good / 2]))

    assert weights == pytest.approx([1, 0], abs=1e-5)


def test_members_that_are_alike_keep_equal_weights():
    assert fit_weights(np.repeat(_draw(0, 1), 3, axis=1)).tolist() == [1 / 3] * 3


def test_a_probability_of_nought_leaves_the_fit_finite():
    weights = fit_weights(np.array([[0.0, 0.0], [0.9, 0.1], [0.1, 0.9]]))

    assert weights == pytest.approx([0.5, 0.5])


def test_without_an_observation_all_members_count_alike():
    assert fit_weights(np.empty((0, 4))).tolist() == [0.25] * 4
