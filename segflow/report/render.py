"""Fills the page templates; every value is escaped unless it is markup of our own."""

from collections.abc import Mapping
from typing import Any

import jinja2

from segflow import __version__
from segflow.scores.bootstrap import FEW_IMAGES

_DASH = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN}"


def render(template: str, **values: Any) -> str:
    """The HTML of a page.

    Args:
        template: Its file name in `segflow/report/templates`.
        **values: What the template names; one that it names and that is missing raises.
    """
    return _environment().get_template(template).render(version=__version__, **values)


def count(value: int | None) -> str:
    """1234567 as `1,234,567`; None as a dash."""
    return _DASH if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """0.1234 as `12.3 %`, with more digits below one percent; None as a dash."""
    if share is None:
        return _DASH
    hundredths = share * 100
    if hundredths == 0:
        return "0 %"
    if hundredths >= 1:
        return f"{hundredths:.1f} %"
    return f"{hundredths:.2g} %" if hundredths >= 0.01 else "< 0.01 %"


def score(value: float | None) -> str:
    """A score in [0, 1] with three decimals, cut and not rounded up to 1; None as a dash."""
    if value is None:
        return _DASH
    return "0.999+" if 0.9995 <= value < 1 else f"{value:.3f}"


def amount(value: float | None) -> str:
    """A quantity as `1,234,568`, with three digits below a hundred; None as a dash."""
    if value is None:
        return _DASH
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rate(value: float | None) -> str:
    """A learning rate with two digits, such as `0.0012` or `3e-06`; None as a dash."""
    return _DASH if value is None else f"{value:.2g}"


def size(height_width: tuple[int, int]) -> str:
    """(height, width) as height x width with a true multiplication sign."""
    return f"{height_width[0]} {_TIMES} {height_width[1]}"


def flatten(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text), in the order given."""
    pairs: list[tuple[str, str]] = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            pairs += flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", _DASH if value is None else str(value)))
    return pairs


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segflow.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count,
        percent=percent,
        score=score,
        rate=rate,
        amount=amount,
        size=size,
        flatten=flatten,
    )
    environment.tests["few"] = lambda images: images < FEW_IMAGES
    return environment
