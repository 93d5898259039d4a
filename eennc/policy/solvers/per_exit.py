"""A threshold per exit: what the exact solver and coordinate descent share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.problem import Problem, feasible_index, grid_of, steps_below, variance
from eennc.policy.table import Floats, Ints


@dataclass(frozen=True)
class Grids:
    """A rising grid of thresholds per exit.

    thresholds: float32 [K, T + 1], rows filled up with inf, whose last entry takes the exit out. levels: int64 [K, n],
    how many thresholds of its exit's grid each confidence reaches.
    """

    thresholds: NDArray[np.float32]
    levels: Ints

    def values(self, indices: Ints) -> tuple[float, ...]:
        """The thresholds at `indices` [K]."""
        return tuple(float(self.thresholds[k, i]) for k, i in enumerate(indices))

    def nearest(self, thresholds: tuple[float, ...]) -> Ints:
        """The indices [K] of the first grid thresholds that are not below the given ones."""
        return np.array([np.searchsorted(row, t) for row, t in zip(self.thresholds, thresholds, strict=True)], np.int64)

    @property
    def never(self) -> Ints:
        """The indices [K] that take every exit out."""
        return np.full(len(self.thresholds), self.thresholds.shape[1] - 1, np.int64)


def grids(problem: Problem, steps: int) -> Grids:
    """Grids of at most `steps` thresholds per exit, at midpoints between observed confidences."""
    rows = [grid_of(row, steps) for row in problem.confidences]
    width = max(len(row) for row in rows)
    thresholds = np.full((len(rows), width + 1), np.inf, np.float32)
    for k, row in enumerate(rows):
        thresholds[k, : len(row)] = row
    levels = np.stack([steps_below(c, row) for c, row in zip(problem.confidences, rows, strict=True)])
    return Grids(thresholds, levels)


@compiled
def policy_value(
    indices: Ints,
    levels: Ints,
    regret: Floats,
    share: Floats,
    backbone: Floats,
    head: Floats,
    clusters: Ints,
    bound: float,
    least: float,
    never: int,
) -> tuple[float, float]:
    """Mean cost of the thresholds at `indices` [K], and the statistic of their loss."""
    exits, n = levels.shape
    parts = np.zeros(n)
    cost = 0.0
    active = False
    for k in range(exits):
        active = active or indices[k] < never
    for s in range(n):
        heads = 0.0
        stop = exits
        for k in range(exits):
            if indices[k] < never:
                heads += head[k]
                if levels[k, s] > indices[k]:
                    stop = k
                    break
        parts[s] = regret[stop, s]
        cost += share[s] * (backbone[stop] + heads)
    loss = parts.sum()
    if bound > 0 and active:
        loss += max(bound * np.sqrt(variance(parts, clusters)), least)
    return cost, loss


@compiled
def sweep_exit(
    k: int,
    indices: Ints,
    levels: Ints,
    regret: Floats,
    share: Floats,
    backbone: Floats,
    head: Floats,
    clusters: Ints,
    need_spread: bool,
    never: int,
) -> tuple[Floats, Floats, Floats]:
    """Mean cost, loss and its variance for every threshold of exit k, the other exits as `indices` say; [never + 1].

    Each sample that reaches exit k stops there for the thresholds below its level, and goes where the later exits send
    it for those above.
    """
    exits, n = levels.shape
    count = clusters.max() + 1
    alone = count == n
    cost, loss, spread = np.zeros(never + 2), np.zeros(never + 2), np.zeros(never + 2)
    per_cluster = np.zeros((count if need_spread and not alone else 1, never + 2))
    for s in range(n):
        before = 0.0
        stop = exits
        for j in range(k):
            if indices[j] < never:
                before += head[j]
                if levels[j, s] > indices[j]:
                    stop = j
                    break
        if stop < exits:
            cost[0] += share[s] * (backbone[stop] + before)
            here, later, level = regret[stop, s], regret[stop, s], 0
        else:
            after = 0.0
            for j in range(k + 1, exits):
                if indices[j] < never:
                    after += head[j]
                    if levels[j, s] > indices[j]:
                        stop = j
                        break
            level = min(levels[k, s], never)
            here, later = regret[k, s], regret[stop, s]
            macs = share[s] * (backbone[k] + before + head[k])
            going_on = share[s] * (backbone[stop] + before + head[k] + after)
            cost[0] += macs
            cost[level] += going_on - macs
            cost[never] -= share[s] * head[k]
        loss[0] += here
        loss[level] += later - here
        if need_spread:
            if alone:
                spread[0] += here * here
                spread[level] += later * later - here * here
            else:
                per_cluster[clusters[s], 0] += here
                per_cluster[clusters[s], level] += later - here
    cost, loss = np.cumsum(cost)[: never + 1], np.cumsum(loss)[: never + 1]
    spread = np.cumsum(spread)[: never + 1]
    if need_spread and not alone:
        spread = np.zeros(never + 1)
        for c in range(count):
            spread += np.cumsum(per_cluster[c])[: never + 1] ** 2
        spread = spread * count / max(count - 1, 1)
    return cost, loss, spread


@compiled
def best_of_exit(
    k: int,
    indices: Ints,
    levels: Ints,
    regret: Floats,
    share: Floats,
    backbone: Floats,
    head: Floats,
    clusters: Ints,
    limit: float,
    bound: float,
    least: float,
    never: int,
) -> tuple[int, float, float]:
    """The best index for exit k, the others fixed, its cost (inf where no index keeps the limit) and its statistic."""
    cost, loss, spread = sweep_exit(k, indices, levels, regret, share, backbone, head, clusters, bound > 0, never)
    return feasible_index(cost, loss, spread, limit, bound, least)
