"""Weights of an ensemble's members, fitted so that what is true becomes likeliest."""

import numpy as np
from numpy.typing import NDArray

_GAP = 1e-6  # nats a pixel between the loss found and the least there is
_STEPS = 20_000
_LEAST = 1e-30  # of a probability; one of 0 would rule its pixel out whatever the weights


def fit_weights(likelihoods: NDArray[np.floating]) -> NDArray[np.float64]:
    """The weights whose mixture makes the observations likeliest.

    Expectation-maximisation for the proportions of a mixture (Dempster, Laird and Rubin 1977):
    each step multiplies a weight by the mean of its member's likelihood over the mixture's. The
    loss, the mean negative log-likelihood, is convex in the weights and never rises. The largest
    of those means exceeds 1 by no less than the loss exceeds its minimum, so it says when to stop.

    Args:
        likelihoods: [observations, members], the probability that each member gives to what is
            true; none negative.

    Returns:
        float64 [members], none negative, summing to 1; within 1e-6 nats of the least loss. Equal
        ones where there is no observation.
    """
    members = likelihoods.shape[1]
    weights = np.full(members, 1 / members)
    if not len(likelihoods):
        return weights
    likelihoods = np.maximum(likelihoods.astype(np.float64), _LEAST)
    for _ in range(_STEPS):
        gains = (likelihoods / (likelihoods @ weights)[:, None]).mean(0)
        if gains.max() - 1 < _GAP:
            break
        weights *= gains
    return weights / weights.sum()


def negative_log_likelihood(
    likelihoods: NDArray[np.floating], weights: NDArray[np.float64]
) -> float:
    """The mean negative log-likelihood of the mixture, in nats; NaN without an observation."""
    if not len(likelihoods):
        return float("nan")
    return float(-np.log(np.maximum(likelihoods, _LEAST).astype(np.float64) @ weights).mean())
