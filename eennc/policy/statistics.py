"""The loss of accuracy against the base network, paired sample by sample, and how sure we are of it."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eennc.policy.table import Floats, Ints, ScoreTable

Metric = Literal["accuracy", "balanced-accuracy"]
Statistic = Literal["point", "upper95"]


@dataclass(frozen=True)
class Loss:
    """A loss of accuracy, as a share (0.01 is one point). [lower, upper] is its 95 % interval, upper95 a one-sided 95 %
    bound.
    """

    point: float
    standard_error: float
    lower: float
    upper: float
    upper95: float

    def of(self, statistic: Statistic) -> float:
        """The point, or the bound."""
        return self.point if statistic == "point" else self.upper95


def metric_weights(table: ScoreTable, metric: Metric) -> Floats:
    """What each sample counts, float64 [n], adding up to 1: by its own weight, or so that each class that is there
    counts the same.
    """
    weights = table.sample_weights
    if metric == "accuracy":
        return weights
    per_class = np.bincount(table.labels, weights, table.classes)
    present = np.count_nonzero(per_class)
    return weights / per_class[table.labels] / present


def quantiles(groups: Ints | None) -> tuple[float, float]:
    """The quantiles for a two-sided 95 % interval and a one-sided 95 % bound: of the normal distribution, or of
    Student's with one degree of freedom less than there are groups.
    """
    count = 0 if groups is None else len(np.unique(groups))
    if count < 2:
        return 1.959964, 1.644854
    stats: Any = importlib.import_module("scipy.stats")  # slow to import, and without types
    return float(stats.t.ppf(0.975, count - 1)), float(stats.t.ppf(0.95, count - 1))


def paired_loss(base: NDArray[np.bool_], other: NDArray[np.bool_], weights: Floats, groups: Ints | None = None) -> Loss:
    """The loss of `other` against `base` (whether each sample is right, bool [n]) with sample weights adding up to 1.

    The variance is the sum over samples of (weight * difference)^2, which for equal weights is disagreement / n. With
    two groups or more the sum is taken within each group first (cluster-robust, Liang and Zeger 1986), times
    G / (G - 1).
    Without any disagreement the bounds are those of the rule of three, -ln(0.05) / n with n = 1 / sum of weights^2.
    """
    parts = weights * (base.astype(np.float64) - other)
    point = float(parts.sum())
    clusters = 0 if groups is None else len(np.unique(groups))
    if groups is not None and clusters >= 2:
        sums = np.bincount(np.unique(groups, return_inverse=True)[1], parts)
        variance = float((sums**2).sum()) * clusters / (clusters - 1)
    else:
        variance = float((parts**2).sum())
    error = math.sqrt(variance)
    two_sided, one_sided = quantiles(groups)
    share = float((weights**2).sum())
    least, least95 = -math.log(0.025) * share, -math.log(0.05) * share
    half = max(two_sided * error, least)
    return Loss(point, error, point - half, point + half, point + max(one_sided * error, least95))
