"""Calibration: whether a class that the model is 90 % sure of is right nine times in ten.

Reliability bins, expected calibration error and temperature scaling are those of Guo et al. 2017
(https://arxiv.org/abs/1706.04599).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from segflow.scores.confusion import number, ratio

BINS = 15  # of equal width over [0, 1], as in the paper; each includes its upper end
_TEMPERATURES = (0.05, 20.0)  # where a minimum is looked for
_LEAST_GAIN = 1e-6  # nats a pixel; below it the likelihood is flat


@dataclass(frozen=True)
class Reliability:
    """Pixels by the probability of their most likely class.

    Attributes:
        pixels: int64 [15], pixels in each bin.
        hits: int64 [15], those of them whose class is right.
        confidence: float64 [15], the sum of their probabilities.
    """

    pixels: NDArray[np.int64]
    hits: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @classmethod
    def empty(cls) -> "Reliability":
        """Of no pixel."""
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64), np.zeros(BINS))

    @classmethod
    def count(cls, confidence: NDArray[Any], right: NDArray[np.bool_]) -> "Reliability":
        """Sorts pixels into bins.

        Args:
            confidence: Largest class probability of each pixel that counts, any shape.
            right: Whether its class is the true one, of the same shape.
        """
        values = confidence.ravel().astype(np.float64)
        bins = np.clip(np.ceil(values * BINS) - 1, 0, BINS - 1).astype(np.int64)
        return cls(
            np.bincount(bins, minlength=BINS).astype(np.int64),
            np.bincount(bins[right.ravel()], minlength=BINS).astype(np.int64),
            np.bincount(bins, values, minlength=BINS).astype(np.float64),
        )

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.pixels + other.pixels,
            self.hits + other.hits,
            self.confidence + other.confidence,
        )

    @property
    def error(self) -> float:
        """Expected calibration error in [0, 1]; NaN without a pixel.

        The mean distance between the share of hits and the mean confidence of a bin, weighted by
        the bins' pixels.
        """
        return float(ratio(np.abs(self.hits - self.confidence).sum(), self.pixels.sum()))

    def to_dict(self) -> dict[str, Any]:
        """As JSON: `expected_calibration_error`, and `bins` with a list for each sum."""
        return {
            "expected_calibration_error": number(self.error),
            "bins": {
                "pixels": self.pixels.tolist(),
                "hits": self.hits.tolist(),
                "confidence": self.confidence.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Reliability":
        """The inverse of `to_dict`."""
        bins = data["bins"]
        return cls(
            np.array(bins["pixels"], np.int64),
            np.array(bins["hits"], np.int64),
            np.array(bins["confidence"], np.float64),
        )


def calibration(logits: NDArray[Any], truth: NDArray[Any]) -> dict[str, Any] | None:
    """How well calibrated a model is, and the temperature that mends it best.

    Args:
        logits: Floats [pixels, n].
        truth: Class ids [pixels].

    Returns:
        `temperature`, `at_bound` (whether that is an end of the range it is looked for in),
        `pixels`, and `before` and `after` it, each with `negative_log_likelihood` (mean, nats),
        `expected_calibration_error` and `bins`; None without a pixel.
    """
    if not truth.size:
        return None
    temperature = fit_temperature(logits, truth)
    return {
        "temperature": temperature,
        "at_bound": temperature in _TEMPERATURES,
        "pixels": int(truth.size),
        "before": _judged(logits, truth, 1.0),
        "after": _judged(logits, truth, temperature),
    }


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """The temperature T for which softmax(logits / T) gives the truth the largest likelihood.

    It changes no prediction. Between 0.05 and 20; 1 where no other makes the mean negative
    log-likelihood smaller by more than 1e-6 nats, as it then says nothing of the temperature.

    Args:
        logits: Floats [pixels, n].
        truth: Class ids [pixels].
    """
    logits = logits.astype(np.float64)

    def loss(temperature: float) -> float:
        return negative_log_likelihood(logits, truth, temperature)

    found = optimize.minimize_scalar(
        lambda log: loss(float(np.exp(log))),
        bounds=tuple(np.log(_TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    # The search comes near the ends of its range, but never tries them.
    best = min((*_TEMPERATURES, float(np.exp(found.x))), key=loss)
    return best if loss(1.0) - loss(best) > _LEAST_GAIN else 1.0


def negative_log_likelihood(logits: NDArray[Any], truth: NDArray[Any], temperature: float) -> float:
    """Mean over pixels of -log softmax(logits / T) of the true class, in nats, as float64."""
    scaled = logits.astype(np.float64) / temperature
    of_truth = np.take_along_axis(scaled, truth.astype(np.int64)[:, None], axis=1)
    return float(special.logsumexp(scaled - of_truth, axis=1).mean())


def _judged(logits: NDArray[Any], truth: NDArray[Any], temperature: float) -> dict[str, Any]:
    scaled = logits.astype(np.float64) / temperature
    confidence = np.exp(scaled.max(1) - special.logsumexp(scaled, axis=1))
    reliability = Reliability.count(confidence, logits.argmax(1) == truth)
    loss = negative_log_likelihood(logits, truth, temperature)
    return {"negative_log_likelihood": loss, **reliability.to_dict()}
