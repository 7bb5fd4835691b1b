"""What the pages of a model and of an evaluation have in common: scores, and what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from segflow.label_map import LabelMap
from segflow.report import plots
from segflow.report.render import percent, score
from segflow.report.sections import swatches
from segflow.scores.calibration import Reliability

_SAID = 5  # mix-ups told in words
_RARE = 0.001  # a class with a smaller share of the pixels is not worth a sentence
_BALANCED = 0.01  # a smaller distance between sureness and hits is none


@dataclass(frozen=True)
class Calibration:
    """What a page says of calibration: a sentence, the plot, and its error before and after."""

    words: str
    plot: Markup
    error: float | None
    temperature: str = ""
    error_after: float | None = None


def class_scores(
    per_class: Mapping[str, Mapping[str, Any]], label_map: LabelMap
) -> list[dict[str, Any]]:
    """A row per class: `swatch`, and what `per_class` says of it; scores not made are None."""
    empty = dict.fromkeys(("boundary_iou", "iou_interval"))  # of other makers of bundles
    return [{**empty, "swatch": s, **per_class[s.name]} for s in swatches(label_map)]


def mix_ups(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> list[str]:
    """The largest mix-ups as sentences, by the share of the true class's pixels.

    Args:
        matrix: Pixels [n][n]; rows are truth.
        names: Of the classes.
    """
    pixels = np.asarray(matrix, np.int64)
    truth = pixels.sum(1)
    shares = pixels / np.maximum(truth, 1)[:, None]
    shares[truth < _RARE * truth.sum()] = 0
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:_SAID]
    pairs = [divmod(int(k), len(names)) for k in order]
    return [
        f"{names[i]} taken for {names[j]}: {percent(float(shares[i, j]))} of its pixels"
        for i, j in pairs
        if shares[i, j]
    ]


def interval(ends: Sequence[float] | None) -> str:
    """A 95 % interval as `0.512 to 0.634`; empty if there is none."""
    return f"{score(ends[0])} to {score(ends[1])}" if ends else ""


def of_evaluation(found: Mapping[str, Any]) -> Calibration | None:
    """Calibration as `metrics.json` has it; None without a valid pixel."""
    bins = Reliability.from_dict(found)
    if not bins.pixels.sum():
        return None
    plot = plots.reliability("Share of hits by confidence", [("this model", bins)])
    return Calibration(_words(bins), plot, bins.error)


def of_bundle(found: Mapping[str, Any] | None) -> Calibration | None:
    """Calibration as `bundle.json` has it; None where it has none."""
    if not found:
        return None
    before, after = (Reliability.from_dict(found[name]) for name in ("before", "after"))
    lines = [("as it is", before), (f"at temperature {found['temperature']:.2f}", after)]
    plot = plots.reliability("Share of hits by confidence", lines)
    return Calibration(_words(before), plot, before.error, _temperature(found), after.error)


def _temperature(found: Mapping[str, Any]) -> str:
    value = found["temperature"]
    end = f", the {'largest' if value > 1 else 'smallest'} that is tried"
    return f"{value:.3f}{end if found.get('at_bound') else ''}"


def _words(bins: Reliability) -> str:
    sure, right = (float(n.sum() / bins.pixels.sum()) for n in (bins.confidence, bins.hits))
    if abs(sure - right) < _BALANCED:
        verdict = "on the whole as sure as it is right"
    else:
        verdict = "overconfident" if sure > right else "underconfident"
    return (
        f"Averaged over the pixels, the model is {percent(sure)} sure and {percent(right)} right: "
        f"it is {verdict}."
    )
