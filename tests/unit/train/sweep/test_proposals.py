"""What is tried next, by what has come of the trials before."""

import itertools
import sys

import pytest

from segflow.errors import UsageError
from segflow.train.sweep.config import Choices, Range, Sweep
from segflow.train.sweep.proposals import propose, require_optuna
from segflow.train.sweep.trials import Trial

PARAMETERS = {
    "loss": Choices(("ce", "dice")),
    "depth": Range(2, 4),
    "learning_rate": Range(1e-4, 1.0, True),
    "zoom": Choices(([1, 1], [0.5, 2])),
}


def searched(sweep, score):
    """All trials of a sweep whose trainings score at once what `score` says."""
    trials = []
    while len(trials) < sweep.trials:
        settings = propose(sweep, trials)
        if settings is None:
            break
        found = score(settings)
        status = "failed" if found is None else "done"
        trials.append(Trial(len(trials), settings, status, found))
    return trials


def test_proposals_lie_within_the_parameters():
    for trial in searched(Sweep(PARAMETERS, 15), lambda settings: settings["learning_rate"]):
        assert trial.settings["loss"] in ("ce", "dice")
        assert trial.settings["depth"] in (2, 3, 4)
        assert isinstance(trial.settings["depth"], int)
        assert 1e-4 <= trial.settings["learning_rate"] <= 1.0
        assert trial.settings["zoom"] in ([1, 1], [0.5, 2])


def test_it_is_a_function_of_seed_and_history():
    trials = searched(Sweep(PARAMETERS, 12, seed=3), lambda settings: settings["learning_rate"])
    for number, trial in enumerate(trials):
        assert propose(Sweep(PARAMETERS, 99, seed=3), trials[:number]) == trial.settings
    assert propose(Sweep(PARAMETERS, 12, seed=4), []) != trials[0].settings


@pytest.mark.parametrize("score", [lambda settings: 0.5, lambda settings: None])
def test_every_combination_is_tried_once_and_none_twice(score):
    """Also where all trials fail, or score alike."""
    parameters = {"loss": Choices(("ce", "dice", "focal")), "depth": Range(2, 5)}
    trials = searched(Sweep(parameters, 99), score)
    found = [(trial.settings["loss"], trial.settings["depth"]) for trial in trials]
    assert sorted(found) == sorted(itertools.product(("ce", "dice", "focal"), (2, 3, 4, 5)))


def test_it_searches_where_scores_are_high_and_away_from_failures():
    def score(settings):
        return None if settings["loss"] == "dice" else 1 - abs(settings["learning_rate"] - 0.01)

    trials = searched(Sweep(PARAMETERS, 60), score)
    later = trials[30:]
    assert sum(trial.settings["loss"] == "ce" for trial in later) > 20
    rates = sorted(trial.settings["learning_rate"] for trial in later)
    assert 0.001 < rates[len(rates) // 2] < 0.1


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'segflow\[sweep\]'"):
        require_optuna()
