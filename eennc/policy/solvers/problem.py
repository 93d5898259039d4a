"""The problem that all solvers solve, and the sweep they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.statistics import Metric, Statistic, metric_weights, quantiles
from eennc.policy.table import Costs, Floats, Ints, ScoreTable

SLACK = 1e-9
"""What sums of weights may be off by, so that a limit of exactly two samples allows two samples."""


@dataclass(frozen=True)
class Problem:
    """Least mean MACs subject to loss <= limit.

    confidences: float32 [K, n]. regret: float64 [K + 1, n], what stopping at exit k adds to the loss: the sample's
    weight times (base is right - exit k is right). share: float64 [n], what the sample counts in the mean cost.
    backbone, head: float64 [K + 1], [K]. clusters: int64 [n], the samples' groups from 0 (each its own without groups).
    bound: the number of standard errors that is added to the loss, `least` the least that is added where it is not 0.
    """

    confidences: NDArray[np.float32]
    regret: Floats
    share: Floats
    backbone: Floats
    head: Floats
    limit: float
    bound: float
    least: float
    clusters: Ints

    @property
    def exits(self) -> int:
        """Number of exits K."""
        return len(self.head)


def problem(
    table: ScoreTable,
    costs: Costs,
    temperatures: tuple[float, ...],
    limit: float,
    metric: Metric,
    statistic: Statistic,
) -> Problem:
    """The problem that a table poses."""
    weights = metric_weights(table, metric)
    base = table.correct[-1].astype(np.float64)
    clusters = np.arange(len(table), dtype=np.int64)
    if table.groups is not None and len(np.unique(table.groups)) >= 2:
        clusters = np.unique(table.groups, return_inverse=True)[1].astype(np.int64)
    bounded = statistic == "upper95"
    return Problem(
        confidences=table.confidences(temperatures),
        regret=weights * (base - table.correct),
        share=table.sample_weights,
        backbone=costs.backbone.astype(np.float64),
        head=costs.head.astype(np.float64),
        limit=limit,
        bound=quantiles(table.groups)[1] if bounded else 0.0,
        least=-math.log(0.05) * float((weights**2).sum()) if bounded else 0.0,
        clusters=clusters,
    )


def grid_of(confidences: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """At most `steps` thresholds for these confidences, rising: midpoints between neighbouring values, spread evenly
    over the samples, so that noise in the last bits moves no sample across one.
    """
    values = np.unique(confidences)
    if len(values) == 1:
        return values
    cuts = np.concatenate([values[:1], (values[:-1] + values[1:]) / np.float32(2)])
    if len(cuts) <= steps:
        return cuts.astype(np.float32)
    ordered = np.sort(confidences, axis=None)
    picked = ordered[np.linspace(0, len(ordered) - 1, steps).round().astype(np.int64)]
    return np.unique(cuts[np.searchsorted(values, picked)]).astype(np.float32)


def steps_below(confidences: NDArray[np.float32], grid: NDArray[np.float32]) -> Ints:
    """For each confidence the number of grid thresholds that it reaches, int64, same shape."""
    return np.searchsorted(grid, confidences, side="right").astype(np.int64)


@compiled
def feasible_index(
    cost: Floats, loss: Floats, spread: Floats, limit: float, bound: float, least: float
) -> tuple[int, float, float]:
    """The entry of least cost whose loss, plus its bound, keeps the limit; its cost and its statistic.

    Where none keeps it, the entry that breaks it least, with a cost of inf. `spread` holds variances of the loss.
    """
    best, best_cost, best_value = -1, np.inf, np.inf
    nearest, nearest_value = 0, np.inf
    for i in range(len(cost)):
        value = loss[i]
        if bound > 0:
            value += max(bound * math.sqrt(max(spread[i], 0.0)), least)
        if value < nearest_value:
            nearest, nearest_value = i, value
        if value <= limit + SLACK and cost[i] < best_cost:
            best, best_cost, best_value = i, cost[i], value
    if best < 0:
        return nearest, np.inf, nearest_value
    return best, best_cost, best_value


@compiled
def variance(parts: Floats, clusters: Ints) -> float:
    """Variance of the sum of `parts` [n], cluster by cluster (`statistics.paired_loss`)."""
    count = clusters.max() + 1
    sums = np.zeros(count)
    for s in range(len(parts)):
        sums[clusters[s]] += parts[s]
    total = (sums**2).sum()
    return total * count / (count - 1) if 1 < count < len(parts) else total
