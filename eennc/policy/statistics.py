"""The loss of accuracy against the base network, paired sample by sample, and how sure we are of it."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eennc.policy.table import Floats, Ints, ScoreTable
from eennc.support.diagnostics import UserError

Metric = Literal["accuracy", "balanced-accuracy"]
Statistic = Literal["point", "upper95"]
WORST_CLASS = "worst-class"
"""The name of a limit on the loss of accuracy on every class's own samples."""
METRICS = f"accuracy, balanced-accuracy, {WORST_CLASS}, or class N with N counted from 0"
"""What a limit may be on."""


def is_metric(name: str) -> bool:
    """Whether a limit may be on what is called so."""
    number = name.removeprefix("class ")
    return name in ("accuracy", "balanced-accuracy", WORST_CLASS) or (number != name and number.isdecimal())


SLACK = 1e-9
"""What sums of weights may be off by, so that a limit of exactly two samples allows two samples."""


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


NO_LOSS = Loss(0.0, 0.0, 0.0, 0.0, 0.0)
"""Of a network against itself: certain, unlike that of one which happens to be right on the same samples."""


def metric_weights(table: ScoreTable, metric: Metric) -> Floats:
    """What each sample counts, float64 [n], adding up to 1: by its own weight, or so that each class that is there
    counts the same.
    """
    weights = table.sample_weights
    if metric == "accuracy":
        return weights
    per_class = np.bincount(table.labels, weights, table.classes)
    return weights / np.where(per_class > 0, per_class, 1)[table.labels] / np.count_nonzero(per_class)


@dataclass(frozen=True)
class Limit:
    """The largest loss, as a share, in `metric`: accuracy, balanced-accuracy, worst-class, or `class N`, the accuracy
    on the samples of one class, counted from 0. `statistic` must keep it.
    """

    metric: str
    limit: float
    statistic: Statistic = "point"


def limit_rows(table: ScoreTable, metric: str) -> list[tuple[Floats, Ints]]:
    """What a limit's samples weigh, float64 [n] adding up to 1, and the strata they count in, int64 [n]: one row, or
    for worst-class one per class that is there. Raises UserError for an unknown metric and a class without samples.
    """
    if metric in ("accuracy", "balanced-accuracy"):
        return [(metric_weights(table, metric), strata(table, metric))]
    per_class = np.bincount(table.labels, table.sample_weights, table.classes)
    if metric == WORST_CLASS:
        chosen = np.flatnonzero(per_class > 0)
    else:
        if not is_metric(metric):
            raise UserError(f"there is no metric '{metric}'", hint=f"take {METRICS}")
        number = metric.removeprefix("class ")
        if int(number) >= table.classes or per_class[int(number)] == 0:
            raise UserError(f"a limit is on class {number}, of which the {table.split} split has no samples")
        chosen = np.array([int(number)])
    nowhere = np.zeros(len(table), np.int64)
    return [(np.where(table.labels == c, table.sample_weights, 0.0) / per_class[c], nowhere) for c in chosen]


@dataclass(frozen=True)
class Clusters:
    """Groups of samples that resemble each other (a speaker's, a patient's).

    number: int64 [n], each sample's group, from 0. stratum: int64 [n], the part of the metric it counts in. weights:
    float64 [G, C], what the samples of a group and stratum count together.
    """

    number: Ints
    stratum: Ints
    weights: Floats


def strata(table: ScoreTable, metric: Metric) -> Ints:
    """The part of the metric that each sample counts in, int64 [n]: its class for balanced accuracy, else 0."""
    return table.labels if metric == "balanced-accuracy" else np.zeros(len(table), np.int64)


def clusters(weights: Floats, groups: Ints | None, strata: Ints | None = None) -> Clusters | None:
    """The samples' groups (int64 [n]) with metric weights [n], or None where there are fewer than two groups."""
    if groups is None:
        return None
    names, number = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    present, stratum = np.unique(np.zeros_like(groups) if strata is None else strata, return_inverse=True)
    together = np.zeros((len(names), len(present)))
    np.add.at(together, (number, stratum), weights)
    return Clusters(number.astype(np.int64), stratum.astype(np.int64), together)


def quantiles(groups: Ints | None) -> tuple[float, float]:
    """The quantiles for a two-sided 95 % interval and a one-sided 95 % bound: of the normal distribution, or of
    Student's with one degree of freedom less than there are groups.
    """
    count = 0 if groups is None else len(np.unique(groups))
    if count < 2:
        return 1.959964, 1.644854
    stats: Any = importlib.import_module("scipy.stats")  # slow to import, and without types
    return float(stats.t.ppf(0.975, count - 1)), float(stats.t.ppf(0.95, count - 1))


def upper_bound(loss: Loss, weights: Floats, chance: float) -> float:
    """The one-sided bound of a `paired_loss` of these weights, without groups, that the loss is above with this chance;
    with 0.05 it is upper95.
    """
    stats: Any = importlib.import_module("scipy.stats")  # slow to import, and without types
    least = -math.log(chance) * float((weights**2).sum())
    return min(loss.point + max(float(stats.norm.isf(chance)) * loss.standard_error, least), 1.0)


def least_half_widths(weights: Floats) -> tuple[float, float]:
    """The rule of three, which bounds a share of which nothing was seen: -ln(alpha) / n at alpha 0.025 and 0.05, with
    n = 1 / sum of squared weights (Kish's effective number of samples). No bound is nearer to the point than this.
    """
    per_sample = float((weights**2).sum())
    return -math.log(0.025) * per_sample, -math.log(0.05) * per_sample


def loss_of(table: ScoreTable, correct: NDArray[np.bool_], metric: Metric) -> Loss:
    """The loss of a network that is right on the samples `correct` (bool [n]) against the table's last classifier."""
    weights = metric_weights(table, metric)
    return paired_loss(table.correct[-1], correct, weights, table.groups, strata(table, metric))


def paired_loss(
    base: NDArray[np.bool_],
    other: NDArray[np.bool_],
    weights: Floats,
    groups: Ints | None = None,
    strata: Ints | None = None,
) -> Loss:
    """The loss of `other` against `base` (whether each sample is right, bool [n]) with sample weights adding up to 1.

    With d = base - other, which is 1, 0 or -1, the loss is sum(w d). Its variance is sum((w d)^2), for equal weights
    disagreement / n: that of a mean of independent samples, taken about zero instead of the loss, a little on the
    safe side.

    With two groups or more it is the cluster-robust variance (Liang and Zeger 1986) where that is larger: G / (G - 1)
    times the sum over groups of (sum over the group's samples of w (d - loss of the sample's stratum))^2. Strata are
    the classes for balanced accuracy, a mean of ratios whose denominators are estimates too. Bounds then use Student's
    t with G - 1 degrees of freedom. Bounds are never nearer than `least_half_widths`, and stay within [-1, 1].
    """
    parts = weights * (base.astype(np.float64) - other)
    point = float(parts.sum())
    variance = float((parts**2).sum())
    grouped = clusters(weights, groups, strata)
    if grouped is not None:
        count = len(grouped.weights)
        in_stratum = grouped.weights.sum(axis=0)
        stratum_loss = np.bincount(grouped.stratum, parts) / np.where(in_stratum > 0, in_stratum, 1)
        residuals = np.bincount(grouped.number, parts) - grouped.weights @ stratum_loss
        variance = max(variance, float((residuals**2).sum()) * count / (count - 1))
    error = math.sqrt(variance)
    two_sided, one_sided = quantiles(groups)
    least, least95 = least_half_widths(weights)
    half = max(two_sided * error, least)
    return Loss(
        point,
        error,
        lower=max(point - half, -1.0),
        upper=min(point + half, 1.0),
        upper95=min(point + max(one_sided * error, least95), 1.0),
    )
