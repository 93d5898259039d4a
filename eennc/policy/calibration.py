"""Temperature scaling: makes an exit's confidence mean its accuracy."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eennc.policy.table import Floats, Ints, ScoreTable

BINS = 15
"""Of equal width, for the calibration error, as Guo et al. have them."""
LIMITS = (0.05, 20.0)
"""Temperatures are looked for between these."""


def temperatures(table: ScoreTable) -> tuple[float, ...]:
    """The temperature of every exit but the last classifier: the one with the least negative log-likelihood (Guo et al.
    2017), rounded to four digits so that noise in the last bits of the scores does not show.
    """
    return tuple(temperature(table.logits(k), table.labels, table.sample_weights) for k in range(table.exits))


def temperature(logits: Floats, labels: Ints, weights: Floats) -> float:
    """The temperature of one exit; logits float64 [n, classes]."""
    optimize: Any = importlib.import_module("scipy.optimize")  # slow to import, and without types
    logits = logits - logits.max(axis=1, keepdims=True)
    right = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return float(weights @ (np.log(np.exp(logits * scale).sum(axis=1)) - right * scale))

    low, high = (math.log(limit) for limit in LIMITS)
    found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    return float(f"{math.exp(found.x):.4g}")


def expected_calibration_error(
    confidence: NDArray[np.float32], correct: NDArray[np.bool_], weights: Floats, bins: int = BINS
) -> float:
    """How far confidence is from accuracy: the mean over `bins` bins of equal width on [0, 1] of the difference between
    their means, by what the samples in them count (Guo et al. 2017). weights add up to 1.
    """
    numbers = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(numbers, weights * (confidence.astype(np.float64) - correct), bins)
    return float(np.abs(gaps).sum())
