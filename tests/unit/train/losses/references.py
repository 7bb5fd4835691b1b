"""Every loss of one image a second time: float64, pixel by pixel, from the papers' formulas.

A reference takes ids int [h, w], logits [h, w, n], class weights [n] and the parameters, and
returns a float. Nothing here is taken from `segflow.train.losses`.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.special import softmax

from segflow.train.loss_config import LossConfig

IGNORE = 255
Reference = Callable[[np.ndarray, np.ndarray, np.ndarray, LossConfig], float]


def pixel_entropies(truth, logits, weights, smoothing=0.0):
    """Weighted cross-entropies of the valid pixels, one after the other."""
    n, found = len(weights), []
    for place in zip(*np.nonzero(truth != IGNORE), strict=True):
        p = softmax(logits[place].astype(np.float64))
        target = np.full(n, smoothing / n)
        target[truth[place]] += 1 - smoothing
        found.append(weights[truth[place]] * -(target * np.log(p)).sum())
    return found


def ce(truth, logits, weights, options):
    found = pixel_entropies(truth, logits, weights, options.label_smoothing)
    return sum(found) / len(found) if found else 0.0


def ohem(truth, logits, weights, options):
    found = pixel_entropies(truth, logits, weights, options.label_smoothing)
    kept = sorted(found, reverse=True)[: math.ceil(options.ohem_fraction * len(found))]
    return sum(kept) / len(kept) if kept else 0.0


def focal(truth, logits, weights, options):
    found = []
    for place in zip(*np.nonzero(truth != IGNORE), strict=True):
        p = softmax(logits[place].astype(np.float64))[truth[place]]
        found.append(weights[truth[place]] * (1 - p) ** options.focal_gamma * -np.log(p))
    return sum(found) / len(found) if found else 0.0


def present_regions(truth, logits, weights):
    """(weight, truth, probability) of each class present, over the valid pixels."""
    valid = truth != IGNORE
    p = softmax(logits.astype(np.float64), axis=-1)[valid]
    y = truth[valid]
    return [(w, (y == c).astype(float), p[:, c]) for c, w in enumerate(weights) if (y == c).any()]


def mean(pairs):
    """The weighted mean of (weight, value)."""
    total = sum(w for w, _ in pairs)
    return sum(w * value for w, value in pairs) / total if total else 0.0


def dice(truth, logits, weights, options):
    regions = present_regions(truth, logits, weights)
    return mean([(w, 1 - 2 * (p * y).sum() / (p.sum() + y.sum())) for w, y, p in regions])


def generalized_dice(truth, logits, weights, options):
    regions = [(w / y.sum() ** 2, y, p) for w, y, p in present_regions(truth, logits, weights)]
    around = sum(w * (p.sum() + y.sum()) for w, y, p in regions)
    return 1 - 2 * sum(w * (p * y).sum() for w, y, p in regions) / around if around else 0.0


def tversky(truth, logits, weights, options, power=1.0):
    pairs = []
    for w, y, p in present_regions(truth, logits, weights):
        hits, false, missed = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
        index = hits / (hits + options.tversky_alpha * false + options.tversky_beta * missed)
        pairs.append((w, (1 - index) ** power))
    return mean(pairs)


def focal_tversky(truth, logits, weights, options):
    return tversky(truth, logits, weights, options, 1 / options.focal_tversky_gamma)


def lovasz(truth, logits, weights, options):
    """As the extension is defined: errors in falling order, times what the set function gains."""
    pairs = []
    for w, y, p in present_regions(truth, logits, weights):
        errors, wrong, value, before = np.abs(y - p), np.zeros(len(y), bool), 0.0, 0.0
        for place in np.argsort(-errors, kind="stable"):
            wrong[place] = True
            # The Jaccard loss of a prediction that is wrong exactly there.
            predicted = np.where(wrong, 1 - y, y)
            after = 1 - np.minimum(predicted, y).sum() / np.maximum(predicted, y).sum()
            value += errors[place] * (after - before)
            before = after
        pairs.append((w, value))
    return mean(pairs)


def boundary(truth, logits, weights, options):
    valid = truth != IGNORE
    p = softmax(logits.astype(np.float64), axis=-1)
    pairs = []
    for c, w in enumerate(weights):
        region, rest = truth == c, valid & (truth != c)
        if not region.any():
            continue
        inside = 1 - distance_transform_edt(~rest) if rest.any() else np.zeros(truth.shape)
        distance = np.where(region, inside, distance_transform_edt(~region))
        pairs.append((w, (p[..., c] * distance)[valid].mean()))
    return mean(pairs)


REFERENCES: dict[str, Reference] = {
    "ce": ce,
    "focal": focal,
    "ohem": ohem,
    "dice": dice,
    "generalized_dice": generalized_dice,
    "tversky": tversky,
    "focal_tversky": focal_tversky,
    "lovasz": lovasz,
    "boundary": boundary,
}
