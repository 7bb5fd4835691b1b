"""Splits of equal class shares: every split gets its part of every class, groups stay whole."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Unit = tuple[str, NDArray[np.float64]]


def stratify(
    units: Iterable[Unit], totals: NDArray[np.float64], shares: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    """Gives each unit to the split that it brings nearest to what that split is to have.

    A greedy form of iterative stratification (Sechidis et al. 2011, "On the stratification of
    multi-label data") for amounts instead of labels: of all splits s and amounts c, it keeps
    sum((have[s, c] / totals[c] - shares[s]) ** 2 / shares[s]) low. Memory holds one unit at a time.
    Give units in an order that `rarity` makes: first those that hold much of something, while
    there is still room everywhere.

    Args:
        units: Name and amounts, float64 [n], of each group or image: its number of images and its
            pixels of each class, say.
        totals: The sum of all units' amounts, float64 [n].
        shares: Of each split; one of nothing gets nothing.

    Yields:
        The name of each unit and its split, in order.
    """
    names = [name for name, share in shares.items() if share > 0]
    wanted = np.array([shares[name] for name in names])[:, None]
    missing = np.repeat(-wanted, len(totals), axis=1)  # have / totals - shares
    for unit, amounts in units:
        part = relative(amounts, totals)
        costs = ((2 * missing + part) * part / wanted).sum(axis=1)
        chosen = int(np.argmin(costs.round(12)))  # of equals the first, whatever sums were rounded
        missing[chosen] += part
        yield unit, names[chosen]


def rarity(amounts: NDArray[np.float64], totals: NDArray[np.float64]) -> float:
    """The largest part that a unit holds of anything, 0 to 1."""
    return float(relative(amounts, totals).max(initial=0))


def relative(amounts: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amounts as parts of the totals; 0 where there is nothing at all."""
    return np.divide(amounts, totals, out=np.zeros(len(totals)), where=totals > 0)
