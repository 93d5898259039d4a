"""The problem that all solvers solve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled, inlined
from eennc.policy.statistics import (
    SLACK,
    Limit,
    Statistic,
    clusters,
    least_half_widths,
    limit_rows,
    metric_weights,
    quantiles,
)
from eennc.policy.table import Costs, Floats, Ints, ScoreTable


class Problem(NamedTuple):
    """Least mean cost such that each of M statistics of the loss keeps its limit; a plain tuple, as compiled functions
    take it.

    A policy is a threshold per exit, and inf takes an exit out. A sample stops at the first exit that is in and whose
    confidence reaches its threshold, else at the last classifier, and costs the backbone up to there and the heads of
    all exits in it has come by, plus `worth` where it loses.

    confidences: float32 [K, n]. lost: int8 [K + 1, n], base is right - exit k is right. share: float64 [n], what the
    sample counts in the mean cost. worth: float64 [n], what a loss counts in it. backbone, head: float64 [K + 1], [K],
    MACs. weights: float64 [M, n], what the sample counts in each metric. A statistic is the sum of weights * lost, plus
    `bounds` [M] standard errors where that is not 0, and at least `least` [M]; it must not exceed `limits` [M].
    cluster [n], stratum [M, n], cluster_weights [M, G, C]: `statistics.Clusters`, of size 0 where groups play no role.
    """

    confidences: NDArray[np.float32]
    lost: NDArray[np.int8]
    share: Floats
    worth: Floats
    backbone: Floats
    head: Floats
    weights: Floats
    limits: Floats
    bounds: Floats
    least: Floats
    cluster: Ints
    stratum: Ints
    cluster_weights: NDArray[np.float64]

    @property
    def exits(self) -> int:
        """Number of exits K."""
        return len(self.head)

    def only(self, kept: Ints) -> Problem:
        """The problem of a network that has only the exits `kept`."""
        rows = np.append(kept, self.exits)
        return self._replace(
            confidences=self.confidences[kept],
            lost=self.lost[rows],
            backbone=self.backbone[rows],
            head=self.head[kept],
        )

    def among(self, samples: Ints) -> Problem:
        """The problem that some of the samples pose, as if they were all, with points in the place of bounds."""
        share, weights = self.share[samples], self.weights[:, samples]
        sums = weights.sum(axis=1, keepdims=True)
        return self._replace(
            confidences=np.ascontiguousarray(self.confidences[:, samples]),
            lost=np.ascontiguousarray(self.lost[:, samples]),
            share=share / share.sum(),
            worth=self.worth[samples] / share.sum(),
            weights=weights / np.where(sums > 0, sums, 1),
            bounds=np.zeros_like(self.bounds),
            least=np.zeros_like(self.least),
            cluster=np.empty(0, np.int64),
            cluster_weights=self.cluster_weights[:, :0, :0].copy(),
        )


def problem(
    table: ScoreTable,
    costs: Costs,
    temperatures: tuple[float, ...],
    limit: float = 1.0,
    metric: str = "accuracy",
    statistic: Statistic = "point",
    *,
    more: Sequence[Limit] = (),
    price: float = 0.0,
) -> Problem:
    """The problem that a table poses, under one limit or `more`. `price`: what a loss of 1 in `metric` (a single one)
    counts in the cost, in networks. Raises UserError for an unknown metric.
    """
    limits: list[float] = []
    bounds: list[float] = []
    least: list[float] = []
    weights: list[Floats] = []
    strata: list[Ints] = []
    cluster_weights: list[NDArray[np.float64]] = []
    cluster = np.empty(0, np.int64)
    for one in (Limit(metric, limit, statistic), *more):
        bounded = one.statistic == "upper95"
        for row, stratum in limit_rows(table, one.metric):
            limits.append(float(one.limit))
            bounds.append(quantiles(table.groups)[1] if bounded else 0.0)
            least.append(least_half_widths(row)[1] if bounded else 0.0)
            weights.append(row)
            grouped = clusters(row, table.groups, stratum)
            strata.append(stratum if grouped is None else grouped.stratum)
            cluster_weights.append(np.empty((0, 0)) if grouped is None else grouped.weights)
            cluster = cluster if grouped is None else grouped.number
    count, (groups, _) = len(limits), cluster_weights[0].shape
    if not any(bounds):
        cluster, groups = np.empty(0, np.int64), 0
    together = np.zeros((count, groups, max(part.shape[1] for part in cluster_weights) if groups else 0))
    for m, part in enumerate(cluster_weights if groups else ()):
        together[m, :, : part.shape[1]] = part
    priced = metric_weights(table, "balanced-accuracy" if metric == "balanced-accuracy" else "accuracy")
    return Problem(
        confidences=table.confidences(temperatures),
        lost=table.correct[-1].astype(np.int8) - table.correct.astype(np.int8),
        share=table.sample_weights,
        worth=price * float(costs.backbone[-1]) * priced,
        backbone=costs.backbone.astype(np.float64),
        head=costs.head.astype(np.float64),
        weights=np.stack(weights),
        limits=np.array(limits),
        bounds=np.array(bounds),
        least=np.array(least),
        cluster=cluster,
        stratum=np.stack(strata).astype(np.int64),
        cluster_weights=together,
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


def levels_of(confidences: NDArray[np.float32], grid: NDArray[np.float32]) -> NDArray[np.int32]:
    """For each confidence the number of thresholds of a rising grid that it reaches, int32, same shape."""
    return np.searchsorted(grid, confidences, side="right").astype(np.int32)


class Tally(NamedTuple):
    """Sums over samples, at each of R thresholds: cost [R], and per limit the loss and its squares [R, M], and per
    cluster and stratum the loss [R, M, G], [R, M, C].
    """

    cost: Floats
    loss: Floats
    squares: Floats
    sums: NDArray[np.float64]
    strata: NDArray[np.float64]


@compiled
def tally(problem: Problem, thresholds: int) -> Tally:
    """All zero."""
    limits, groups, classes = problem.cluster_weights.shape
    return Tally(
        np.zeros(thresholds),
        np.zeros((thresholds, limits)),
        np.zeros((thresholds, limits)),
        np.zeros((thresholds, limits, groups)),
        np.zeros((thresholds, limits, classes)),
    )


@inlined
def lose(problem: Problem, into: Tally, at: int, s: int, stop: int, sign: int) -> None:
    """Add `sign` times what sample s loses by stopping at `stop`."""
    lost = problem.lost[stop, s]
    if lost == 0:
        return
    into.cost[at] += sign * lost * problem.worth[s]
    grouped = len(problem.cluster) > 0
    for m in range(len(problem.limits)):
        weight = problem.weights[m, s]
        if weight == 0:
            continue
        part = sign * lost * weight
        into.loss[at, m] += part
        into.squares[at, m] += sign * weight * weight
        if grouped:
            into.sums[at, m, problem.cluster[s]] += part
            into.strata[at, m, problem.stratum[m, s]] += part


@inlined
def put(into: Tally, at: int, other: Tally, row: int) -> None:
    """Set the sums at `at` to those of another tally at `row`."""
    into.cost[at] = 0.0
    for m in range(into.loss.shape[1]):
        into.loss[at, m] = 0.0
        into.squares[at, m] = 0.0
        for g in range(into.sums.shape[2]):
            into.sums[at, m, g] = 0.0
        for c in range(into.strata.shape[2]):
            into.strata[at, m, c] = 0.0
    add(into, at, other, row)


@inlined
def add(into: Tally, at: int, other: Tally, row: int) -> None:
    """Add the sums of another tally, or the same, at `row` to those at `at`."""
    into.cost[at] += other.cost[row]
    for m in range(into.loss.shape[1]):
        into.loss[at, m] += other.loss[row, m]
        into.squares[at, m] += other.squares[row, m]
        for g in range(into.sums.shape[2]):
            into.sums[at, m, g] += other.sums[row, m, g]
        for c in range(into.strata.shape[2]):
            into.strata[at, m, c] += other.strata[row, m, c]


@inlined
def excess(problem: Problem, sums: Tally, at: int) -> float:
    """The most by which a statistic exceeds its limit; `statistics.paired_loss` says how they are made."""
    worst = -np.inf
    groups = problem.cluster_weights.shape[1]
    for m in range(len(problem.limits)):
        value = sums.loss[at, m]
        if problem.bounds[m] > 0:
            variance = sums.squares[at, m]
            if groups > 0:
                variance = max(variance, clustered(problem, sums, at, m) * groups / (groups - 1))
            value += max(problem.bounds[m] * math.sqrt(max(variance, 0.0)), problem.least[m])
            value = min(value, 1.0)
        worst = max(worst, value - problem.limits[m])
    return worst


@compiled
def clustered(problem: Problem, sums: Tally, at: int, m: int) -> float:
    """The sum over groups of squared residuals."""
    weights = problem.cluster_weights[m]
    total = 0.0
    # a stratum whose samples all weigh nothing has no loss
    means = sums.strata[at, m] / np.maximum(weights.sum(axis=0), 1e-300)
    for g in range(weights.shape[0]):
        residual = sums.sums[at, m, g]
        for c in range(len(means)):
            residual -= weights[g, c] * means[c]
        total += residual * residual
    return total


@compiled
def may_keep(problem: Problem, sums: Tally, at: int) -> bool:
    """Whether the limits can be kept, by the parts of the statistics that are quickly made."""
    for m in range(len(problem.limits)):
        if min(sums.loss[at, m] + problem.least[m], 1.0) > problem.limits[m] + SLACK:
            return False
    return True


@compiled
def keeps(excess: float) -> bool:
    """Whether limits that are exceeded by this much are kept."""
    return excess <= SLACK
