"""One threshold for all exits, and which exits to keep."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.problem import Problem, Tally, add, excess, grid_of, keeps, levels_of, lose, may_keep, tally
from eennc.policy.table import Ints

EXHAUSTIVE, FEWER_EXHAUSTIVE = 10, 6
"""Up to this many exits all sets of exits are tried; where the answer is wanted fast, up to the latter."""
KICKS = 24
"""Random changes to the best set found, each followed by a search."""
STEPS = 8192
"""Thresholds tried while sets of exits are compared; the set that wins is searched at all observed confidences."""
FEWER_STEPS = 1024
"""The same where a sum per cluster is kept for each of them, or the answer is wanted fast."""
NEAR = 4
"""Exits are exchanged for those at most so many places away."""

Exits = tuple[int, ...]


def solve_shared(
    problem: Problem,
    max_exits: int | None = None,
    thorough: bool = True,
    min_gain: float = 0.0,
    most_heads: float = float("inf"),
) -> tuple[float, ...]:
    """Thresholds [K], one value at the exits kept and inf at the others; at most `max_exits` are kept, whose heads cost
    at most `most_heads` MACs together, and each of them saves at least the share `min_gain` of the whole network's.

    All sets of exits are tried where they are few. Else local searches from no exit, from all, and from random changes
    to the best found add and drop single exits as long as that helps; at last one exit is exchanged for a near one. Not
    `thorough`: from no exit and from all alone, with fewer thresholds.
    """
    exits = problem.exits
    toll = min_gain * float(problem.backbone[-1])
    most = exits if max_exits is None else min(max_exits, exits)
    grid = grid_of(problem.confidences, STEPS if thorough and not len(problem.cluster) else FEWER_STEPS)
    levels = levels_of(problem.confidences, grid)
    costs: dict[Exits, float] = {}

    def cost(kept: Exits) -> float:
        if kept not in costs:
            allowed = problem.head[list(kept)].sum() <= most_heads
            costs[kept] = _best(problem, levels, len(grid), kept)[0] + len(kept) * toll if allowed else float("inf")
        return costs[kept]

    if exits <= (EXHAUSTIVE if thorough else FEWER_EXHAUSTIVE):
        sets = (kept for size in range(most + 1) for kept in itertools.combinations(range(exits), size))
        best = min(sets, key=cost)
    else:
        best = _search(exits, most, cost, thorough)
    if not best:
        return (float("inf"),) * exits
    kept = problem.confidences[list(best)]
    fine = grid_of(kept, kept.size)
    fine_levels = np.zeros_like(levels)
    fine_levels[list(best)] = levels_of(kept, fine)
    if len(problem.cluster):
        fine, fine_levels = grid, levels
    index = _best(problem, fine_levels, len(fine), best)[1]
    return tuple(float(fine[index]) if k in best else float("inf") for k in range(exits))


def _search(exits: int, most: int, cost: Callable[[Exits], float], thorough: bool) -> Exits:
    random = np.random.default_rng(0)
    best = min((_toggled(start, exits, most, cost) for start in ((), tuple(range(most)))), key=cost)
    if not thorough:
        return best
    for _ in range(KICKS):
        kick = {int(k) for k in random.choice(exits, 3, replace=False)}
        kicked = tuple(sorted(kick.symmetric_difference(best)))[:most]
        best = min(best, _toggled(kicked, exits, most, cost), key=cost)
    while True:
        exchanged = min(_exchanges(best, exits), key=cost, default=best)
        if cost(exchanged) >= cost(best):
            return best
        best = _toggled(exchanged, exits, most, cost)


def _toggled(best: Exits, exits: int, most: int, cost: Callable[[Exits], float]) -> Exits:
    """What adding and dropping single exits leads to, as long as that helps."""
    improved = True
    while improved:
        improved = False
        for k in range(exits):
            moved = tuple(sorted({k}.symmetric_difference(best)))
            if len(moved) <= most and cost(moved) < cost(best):
                best, improved = moved, True
    return best


def _exchanges(kept: Exits, exits: int) -> Iterable[Exits]:
    """Each exit for one that stands near it."""
    for gone in kept:
        rest = tuple(k for k in kept if k != gone)
        near = range(max(gone - NEAR, 0), min(gone + NEAR + 1, exits))
        yield from (tuple(sorted((*rest, k))) for k in near if k not in kept)


def _best(problem: Problem, levels: NDArray[np.int32], steps: int, kept: Exits) -> tuple[float, int]:
    """Least mean cost with the exits `kept`, inf where no threshold keeps the limit, and the threshold's index."""
    if not kept:
        return float(problem.backbone[-1]), 0
    cost, index = cheapest(problem, levels, np.array(kept, np.int64), steps)
    return float(cost), int(index)


@compiled
def cheapest(problem: Problem, levels: NDArray[np.int32], kept: Ints, steps: int) -> tuple[float, int]:
    """The least mean cost over the thresholds of the grid, used at all exits `kept`, and the threshold's index."""
    sums = sweep(problem, levels, kept, steps)
    best, best_cost = 0, np.inf
    for i in range(steps):
        if sums.cost[i] < best_cost and may_keep(problem, sums, i) and keeps(excess(problem, sums, i)):
            best, best_cost = i, sums.cost[i]
    return best_cost, best


@compiled
def sweep(problem: Problem, levels: NDArray[np.int32], kept: Ints, steps: int) -> Tally:
    """The sums for each of `steps` thresholds of the grid, used at all exits `kept`.

    A sample that reaches `levels[k, s]` thresholds of the grid at exit k stops there for those that no exit before has
    reached; so each exit adds to one stretch of the grid, and differences need summing up only once.
    """
    n = levels.shape[1]
    last = len(problem.head)
    sums = tally(problem, steps + 1)
    for s in range(n):
        reached = 0
        heads = 0.0
        for k in kept:
            heads += problem.head[k]
            level = levels[k, s]
            if level > reached:
                # thresholds reached .. level - 1 stop this sample here
                macs = problem.share[s] * (problem.backbone[k] + heads)
                sums.cost[reached] += macs
                sums.cost[level] -= macs
                if problem.lost[k, s] != 0:
                    lose(problem, sums, reached, s, k, 1)
                    lose(problem, sums, level, s, k, -1)
                reached = level
        sums.cost[reached] += problem.share[s] * (problem.backbone[last] + heads)
    for i in range(1, steps):
        add(sums, i, sums, i - 1)
    return sums
