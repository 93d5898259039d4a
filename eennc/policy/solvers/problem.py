"""The problem that all solvers solve."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.statistics import (
    SLACK,
    Metric,
    Statistic,
    clusters,
    least_half_widths,
    metric_weights,
    quantiles,
    strata,
)
from eennc.policy.table import Costs, Floats, Ints, ScoreTable


class Problem(NamedTuple):
    """Least mean MACs subject to a statistic of the loss <= limit; a plain tuple, as compiled functions take it.

    confidences: float32 [K, n]. regret: float64 [K + 1, n], what stopping at exit k adds to the loss: the sample's
    weight in the metric times (base is right - exit k is right). share: float64 [n], what the sample counts in the mean
    cost. backbone, head: float64 [K + 1], [K]. The statistic is the loss, plus where `bound` is not 0 that many
    standard errors, and at least `least`. cluster, stratum [n] and cluster_weights [G, C] are `statistics.Clusters`,
    of size 0 where groups play no role.
    """

    confidences: NDArray[np.float32]
    regret: Floats
    share: Floats
    backbone: Floats
    head: Floats
    limit: float
    bound: float
    least: float
    cluster: Ints
    stratum: Ints
    cluster_weights: Floats

    @property
    def exits(self) -> int:
        """Number of exits K."""
        return len(self.head)

    def only(self, kept: Ints) -> Problem:
        """The problem of a network that has only the exits `kept`."""
        rows = np.append(kept, self.exits)
        return self._replace(
            confidences=self.confidences[kept],
            regret=self.regret[rows],
            backbone=self.backbone[rows],
            head=self.head[kept],
        )


def problem(
    table: ScoreTable,
    costs: Costs,
    temperatures: tuple[float, ...],
    limit: float,
    metric: Metric = "accuracy",
    statistic: Statistic = "point",
) -> Problem:
    """The problem that a table poses."""
    weights = metric_weights(table, metric)
    bounded = statistic == "upper95"
    grouped = clusters(weights, table.groups, strata(table, metric)) if bounded else None
    return Problem(
        confidences=table.confidences(temperatures),
        regret=weights * (table.correct[-1].astype(np.float64) - table.correct),
        share=table.sample_weights,
        backbone=costs.backbone.astype(np.float64),
        head=costs.head.astype(np.float64),
        limit=float(limit),
        bound=quantiles(table.groups)[1] if bounded else 0.0,
        least=least_half_widths(weights)[1] if bounded else 0.0,
        cluster=np.empty(0, np.int64) if grouped is None else grouped.number,
        stratum=np.empty(0, np.int64) if grouped is None else grouped.stratum,
        cluster_weights=np.empty((0, 0)) if grouped is None else grouped.weights,
    )


def grid_of(confidences: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """At most `steps` thresholds for these confidences, rising: 0, which always fires, and midpoints between
    neighbouring values, spread evenly over the samples. At a midpoint noise in the last bits moves no sample.
    """
    values = np.unique(confidences)
    cuts = np.concatenate([np.zeros(1, np.float32), (values[:-1] + values[1:]) / np.float32(2)])
    if len(cuts) <= steps:
        return cuts
    ordered = np.sort(confidences, axis=None)
    picked = ordered[np.linspace(0, len(ordered) - 1, steps).round().astype(np.int64)]
    return np.unique(cuts[np.searchsorted(values, picked)])


def levels_of(confidences: NDArray[np.float32], grid: NDArray[np.float32]) -> Ints:
    """For each confidence the number of thresholds of a rising grid that it reaches, int64, same shape."""
    return np.searchsorted(grid, confidences, side="right").astype(np.int64)


@compiled
def statistic_of(problem: Problem, loss: float, squares: float, sums: Floats, strata: Floats) -> float:
    """The statistic that must keep the limit, `statistics.paired_loss` says how.

    loss: the sum of the samples' regrets; squares: of their squares; sums [G]: per cluster; strata [C]: per stratum.
    """
    if problem.bound == 0:
        return loss
    variance = squares
    weights = problem.cluster_weights
    groups = weights.shape[0]
    if groups > 0:
        total = 0.0
        # a stratum whose samples all weigh nothing has no loss
        means = strata / np.maximum(weights.sum(axis=0), 1e-300)
        for g in range(groups):
            residual = sums[g]
            for c in range(len(means)):
                residual -= weights[g, c] * means[c]
            total += residual * residual
        variance = max(variance, total * groups / (groups - 1))
    return min(loss + max(problem.bound * math.sqrt(max(variance, 0.0)), problem.least), 1.0)


@compiled
def keeps(problem: Problem, value: float) -> bool:
    """Whether a statistic keeps the limit."""
    return value <= problem.limit + SLACK
