"""The ensemble's model and what it is worth: loads the members, fits, builds and scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from segflow.dataset import Dataset
from segflow.ensemble.config import EnsembleConfig
from segflow.ensemble.likelihoods import sample_likelihoods
from segflow.ensemble.members import Members
from segflow.ensemble.weights import fit_weights, negative_log_likelihood
from segflow.models.ensemble import build_ensemble
from segflow.models.probabilities import at_size, at_temperature
from segflow.train.scoring import SplitScores, score_split


@dataclass(frozen=True)
class Built:
    """An ensemble in memory.

    Attributes:
        model: The Keras model.
        weights: One for each member, summing to 1.
        fit: How the weights were fitted; empty if they were not.
        members_metrics: Each member's scores as in `bundle.json`; None where nothing was scored.
        found: The ensemble's scores, with its best and worst examples; None likewise.
    """

    model: Any
    weights: Sequence[float]
    fit: dict[str, Any]
    members_metrics: Sequence[dict[str, Any] | None]
    found: SplitScores | None = field(repr=False)


def build(
    config: EnsembleConfig, members: Members, dataset: Dataset | None, console: Console
) -> Built:
    """Builds an ensemble, and scores it beside its members if there is a dataset.

    Members are averaged as calibrated as their bundles have them: one that is surer than it is
    right would outvote the others.

    Args:
        config: Its settings.
        members: What it is made of.
        dataset: What `config.dataset` holds, if given.
        console: Where progress goes.
    """
    models = [at_temperature(b.load_model(), b.temperature) for b in members.bundles]
    weights, fit = config.given_weights(), {}
    if weights is None:
        assert dataset is not None, "EnsembleConfig asks for one to fit weights on"
        console.print("ensemble: fitting weights")
        likelihoods = sample_likelihoods(models, members.image_size, dataset, config)
        fitted = fit_weights(likelihoods)
        weights, fit = fitted.tolist(), _described(likelihoods, fitted)
    model = build_ensemble(models, weights, members.image_size)
    if dataset is None:
        return Built(model, weights, fit, [None] * len(models), None)
    alone = []
    for number, member in enumerate(models, 1):
        console.print(f"ensemble: scoring model {number} of {len(models)}")
        alone.append(metrics(_score(member, dataset, config), dataset, config))
    console.print("ensemble: scoring the ensemble")
    return Built(model, weights, fit, alone, _score(model, dataset, config))


def metrics(found: SplitScores, dataset: Dataset, config: EnsembleConfig) -> dict[str, Any]:
    """Scores as `bundle.json` records them."""
    examples = dataset.split(config.split).examples
    return {**found.summary, "split": config.split, "examples": examples}


def _score(model: Any, dataset: Dataset, config: EnsembleConfig) -> SplitScores:
    fitting = at_size(model, dataset.image_size)
    return score_split(fitting, dataset, config.split, config.batch_size)


def _described(
    likelihoods: NDArray[np.float32], fitted: NDArray[np.float64]
) -> dict[str, float | int | None]:
    """How many pixels the weights were fitted on, and what that gained in nats a pixel."""
    equal = np.full(len(fitted), 1 / len(fitted))
    losses = (negative_log_likelihood(likelihoods, w) for w in (fitted, equal))
    loss, loss_equal = (None if np.isnan(value) else value for value in losses)
    return {"pixels": len(likelihoods), "loss": loss, "loss_with_equal_weights": loss_equal}
