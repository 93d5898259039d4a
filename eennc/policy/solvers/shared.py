"""One threshold for all exits, and which exits to keep."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.problem import Problem, feasible_index, grid_of, steps_below
from eennc.policy.table import Floats, Ints

EXHAUSTIVE = 8
"""Up to this many exits all sets of exits are tried."""
STEPS = 2048


def solve_shared(problem: Problem, max_exits: int | None = None) -> tuple[float, ...]:
    """Thresholds [K], one value at the exits kept and inf at the others.

    All sets of exits are tried where they are few; else exits are added one by one, each time the one that helps most,
    and then exchanged or dropped as long as that helps.
    """
    exits = problem.exits
    grid = grid_of(problem.confidences, STEPS) if exits else np.empty(0, np.float32)
    levels = steps_below(problem.confidences, grid)
    limit = exits if max_exits is None else min(max_exits, exits)
    seen: dict[tuple[int, ...], tuple[float, float]] = {}

    def value(kept: tuple[int, ...]) -> float:
        if kept not in seen:
            seen[kept] = _best(problem, levels, grid, kept)
        return seen[kept][0]

    if exits <= EXHAUSTIVE:
        sets = (kept for size in range(limit + 1) for kept in itertools.combinations(range(exits), size))
        best = min(sets, key=value)
    else:
        best = _search(exits, limit, value)
    value(best)
    threshold = seen[best][1]
    return tuple(threshold if k in best else float("inf") for k in range(exits))


def _search(exits: int, limit: int, cost: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
    best: tuple[int, ...] = ()
    while True:
        moved = min(_neighbours(best, exits, limit), key=cost, default=best)
        if cost(moved) >= cost(best):
            return best
        best = moved


def _neighbours(kept: tuple[int, ...], exits: int, limit: int) -> Iterable[tuple[int, ...]]:
    """Sets with one exit more, one less, or one exchanged."""
    others = [k for k in range(exits) if k not in kept]
    if len(kept) < limit:
        yield from (tuple(sorted((*kept, k))) for k in others)
    for gone in kept:
        rest = tuple(k for k in kept if k != gone)
        yield rest
        yield from (tuple(sorted((*rest, k))) for k in others)


def _best(problem: Problem, levels: Ints, grid: NDArray[np.float32], kept: tuple[int, ...]) -> tuple[float, float]:
    """Least mean cost with the exits `kept`, and the threshold that has it."""
    if not kept:
        return float(problem.backbone[-1]), float("inf")
    chosen = np.array(kept, np.int64)
    cost, loss, spread = sweep(
        levels, problem.regret, problem.share, problem.backbone, problem.head, problem.clusters, chosen, len(grid)
    )
    index, best, _ = feasible_index(cost, loss, spread, problem.limit, problem.bound, problem.least)
    return best, float(grid[index])


@compiled
def sweep(
    levels: Ints,
    regret: Floats,
    share: Floats,
    backbone: Floats,
    head: Floats,
    clusters: Ints,
    kept: Ints,
    steps: int,
) -> tuple[Floats, Floats, Floats]:
    """Mean cost, loss and the loss's variance for each threshold of the grid, used at all exits `kept`; each [steps].

    A sample that reaches `levels[k, s]` thresholds of the grid at exit k stops there for those that no exit before has
    reached; so each exit adds to one stretch of the grid, and differences need summing up only once.
    """
    n = levels.shape[1]
    last = len(backbone) - 1
    count = clusters.max() + 1
    alone = count == n
    cost, loss, spread = np.zeros(steps + 1), np.zeros(steps + 1), np.zeros(steps + 1)
    per_cluster = np.zeros((1 if alone else count, steps + 1))
    for s in range(n):
        reached = 0
        heads = 0.0
        for i in range(len(kept)):
            k = kept[i]
            heads += head[k]
            level = levels[k, s]
            if level > reached:
                # thresholds reached .. level - 1 stop this sample here
                macs = share[s] * (backbone[k] + heads)
                cost[reached] += macs
                cost[level] -= macs
                part = regret[k, s]
                loss[reached] += part
                loss[level] -= part
                if alone:
                    spread[reached] += part * part
                    spread[level] -= part * part
                else:
                    per_cluster[clusters[s], reached] += part
                    per_cluster[clusters[s], level] -= part
                reached = level
        macs = share[s] * (backbone[last] + heads)
        cost[reached] += macs
    cost, loss = np.cumsum(cost)[:steps], np.cumsum(loss)[:steps]
    if alone:
        return cost, loss, np.cumsum(spread)[:steps]
    spread = np.zeros(steps)
    for c in range(count):
        spread += np.cumsum(per_cluster[c])[:steps] ** 2
    return cost, loss, spread * count / max(count - 1, 1)
