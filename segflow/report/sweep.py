"""The page of a sweep: its trials from the best to the worst, and scores by parameter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from segflow import storage
from segflow.report import plots
from segflow.report.render import flatten, render

_SHOWN = 60  # characters of a choice in a plot


def page(folder: Path) -> str:
    """The HTML report of a sweep."""
    record = storage.read_json(folder / "sweep.json")
    results, parameters = record["results"], record["parameters"]
    scored = [trial for trial in results if trial["val_mean_iou"] is not None]
    return render(
        "sweep.html",
        kind="sweep",
        name=folder.resolve().name,
        record=record,
        ranked=sorted(results, key=lambda trial: -(trial["val_mean_iou"] or 0.0)),
        best=max((trial["val_mean_iou"] for trial in scored), default=None),
        minutes=sum(trial["minutes"] or 0.0 for trial in results),
        plots=_plots(parameters, scored) if scored else [],
        searched={name: _in_words(parameter) for name, parameter in parameters.items()},
        common={n: text for n, text in flatten(record["config"]) if n not in parameters},
    )


def _plots(
    parameters: Mapping[str, Any], scored: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Markup]]:
    """(Title, plot) of the scores over trials, then by each parameter."""
    numbers, scores = [t["number"] for t in scored], [t["val_mean_iou"] for t in scored]
    found = [("Over trials", plots.scores_over_trials(numbers, scores))]
    for name, parameter in parameters.items():
        values = [trial["settings"][name] for trial in scored]
        found.append((f"By {name}", _by(name, parameter, values, scores)))
    return found


def _by(name: str, parameter: Any, values: Sequence[Any], scores: Sequence[float]) -> Markup:
    if isinstance(parameter, Mapping):
        return plots.scores_by_number(name, values, scores, log=parameter["log"])
    return plots.scores_by_choice(name, _texts(parameter), _texts(values), scores)


def _texts(values: Sequence[Any]) -> list[str]:
    return [str(value)[:_SHOWN] for value in values]


def _in_words(parameter: Any) -> str:
    if not isinstance(parameter, Mapping):
        return ", ".join(map(str, parameter))
    scale = ", on a logarithmic scale" if parameter["log"] else ""
    return f"{parameter['low']} to {parameter['high']}{scale}"
