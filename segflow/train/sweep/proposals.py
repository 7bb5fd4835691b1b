"""Which settings a sweep tries next, chosen by Optuna.

The trials' records are all that is remembered: a study is made of them anew for each choice, and
its seed is that of the sweep and the trial. So a sweep that was interrupted goes on with the
trials that it would have come to undisturbed, and there is no second memory to contradict it.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segflow import hashing
from segflow.errors import UsageError
from segflow.train.sweep.config import Choices, Range, Sweep
from segflow.train.sweep.trials import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


def require_optuna() -> None:
    """Raises `UsageError` unless Optuna is installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UsageError("--sweep needs Optuna; install it with: pip install 'segflow[sweep]'")


def propose(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The settings of the next trial, by tree-structured Parzen estimators (Bergstra et al. 2011).

    The first ten scored trials are drawn at random. What was refused or has failed counts as
    worse than any score. Nothing is tried twice.

    Args:
        sweep: What to search.
        trials: Those that have ended.

    Returns:
        Values by parameter; None if every combination has been tried.
    """
    import optuna  # an extra

    tried = [trial.settings for trial in trials]
    if len(tried) >= sweep.combinations:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = hashing.stable_seed(sweep.seed, len(tried)) % 2**32
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    space = {name: _distribution(p) for name, p in sweep.parameters.items()}
    study.add_trials([_frozen(sweep, trial, space) for trial in trials])
    settings = _settings(sweep, study.ask(space).params)
    study.sampler = optuna.samplers.RandomSampler(seed=seed)
    while settings in tried:
        settings = _settings(sweep, study.ask(space).params)
    return settings


def _distribution(parameter: Choices | Range) -> "BaseDistribution":
    from optuna import distributions

    if isinstance(parameter, Choices):  # by their places: Optuna takes no lists for choices
        return distributions.CategoricalDistribution(range(len(parameter.values)))
    low, high, log = parameter.low, parameter.high, parameter.log
    if parameter.is_integer:
        return distributions.IntDistribution(int(low), int(high), log=log)
    return distributions.FloatDistribution(low, high, log=log)


def _frozen(sweep: Sweep, trial: Trial, space: "Mapping[str, BaseDistribution]") -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    params = {
        name: p.values.index(trial.settings[name])
        if isinstance(p, Choices)
        else trial.settings[name]
        for name, p in sweep.parameters.items()
    }
    # A pruned trial without a value ranks below all that have one.
    scored = trial.val_mean_iou is not None
    state = TrialState.COMPLETE if scored else TrialState.PRUNED
    return create_trial(
        state=state, value=trial.val_mean_iou, params=params, distributions=dict(space)
    )


def _settings(sweep: Sweep, params: Mapping[str, Any]) -> dict[str, Any]:
    settings = {}
    for name, parameter in sweep.parameters.items():
        if isinstance(parameter, Choices):
            settings[name] = parameter.values[params[name]]
        elif parameter.is_integer:
            settings[name] = params[name]
        else:
            settings[name] = parameter.rounded(params[name])
    return settings
