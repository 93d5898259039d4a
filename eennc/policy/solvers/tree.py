"""All policies of a box, by enumeration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.per_exit import policy_value
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.statistics import SLACK
from eennc.policy.table import Floats, Ints


@compiled
def enumerate_box(
    problem: Problem,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    tolerance: float,
    best: Ints,
) -> float:
    """Put the cheapest policy with indices in [low, high] [K] that keeps the limits into `best`, which keeps them, if
    it is cheaper by more than the share `tolerance`. Returns the cost of `best`. For two exits or more.

    All thresholds but the last two are enumerated; tables over these give every outcome.
    """
    exits, n = levels.shape
    depth = exits - 2
    best_cost, _ = policy_value(problem, levels, never, best)
    alive = np.ones((depth + 1, n), np.bool_)
    heads, done = np.zeros(depth + 1), np.zeros((depth + 1, 3))
    indices = low - 1
    d = 0
    while d >= 0:
        if d == depth:
            best_cost = _last_two(
                problem, levels, never, indices, low[d + 1], high[d + 1], alive[d], heads[d], done[d],
                low[d], high[d], tolerance, best, best_cost,
            )  # fmt: skip
            d -= 1
            continue
        indices[d] += 1
        index = indices[d]
        if index > high[d]:
            indices[d] = low[d] - 1
            d -= 1
            continue
        heads[d + 1] = heads[d] + (problem.head[d] if index < never else 0.0)
        done[d + 1] = done[d]
        stops = 0
        for s in range(n):
            stays = alive[d, s]
            if stays and levels[d, s] > index:
                stays = False
                stops += 1
                lost, part = problem.lost[d, s], problem.lost[d, s] * problem.weights[0, s]
                done[d + 1, 0] += problem.share[s] * (problem.backbone[d] + heads[d + 1]) + lost * problem.worth[s]
                done[d + 1, 1] += part
                done[d + 1, 2] += part * part
            alive[d + 1, s] = stays
        # where no sample stops, leaving the exit out is as good, and cheaper
        if stops > 0 or index == never:
            d += 1
    return best_cost


@compiled
def _last_two(
    problem: Problem,
    levels: NDArray[np.int32],
    never: int,
    indices: Ints,
    least_last: int,
    most_last: int,
    alive: NDArray[np.bool_],
    heads: float,
    done: Floats,
    low: int,
    high: int,
    tolerance: float,
    best: Ints,
    best_cost: float,
) -> float:
    """Try all thresholds of the last two exits for the samples `alive`, the first of them in [low, high], the
    second in [least_last, most_last]; puts what is cheapest into `best`, and returns its cost.

    Tables over both give the cost and the loss in the first limit; where there is more to look at, policies that are
    cheaper and keep that loss are evaluated one by one. `done`: cost, loss and squares of those that have stopped.
    """
    exits = len(indices)
    a, b = exits - 2, exits - 1
    bound, floor = problem.bounds[0], problem.least[0]
    limit = problem.limits[0] + SLACK if problem.limits[0] < 1 else np.inf
    simple = len(problem.limits) == 1 and len(problem.cluster) == 0
    # at[i]: the samples of level i at the first of the two, as a chain
    at, chain = np.full(never + 1, -1), np.empty(len(alive), np.int64)
    share, stopped, stopped_loss, stopped_squares = 0.0, 0.0, 0.0, 0.0
    for s in range(len(alive)):
        if not alive[s]:
            continue
        level = levels[a, s]
        chain[s] = at[level]
        at[level] = s
        share += problem.share[s]
        part = problem.lost[a, s] * problem.weights[0, s]
        stopped += problem.share[s] * problem.backbone[a] + problem.lost[a, s] * problem.worth[s]
        stopped_loss += part
        stopped_squares += part * part
    passed = 0.0
    cost, loss, squares = np.zeros(never + 1), np.zeros(never + 1), np.zeros(never + 1)
    for i in range(high + 1):
        s = at[i]
        while s >= 0:
            part = problem.lost[a, s] * problem.weights[0, s]
            stopped -= problem.share[s] * problem.backbone[a] + problem.lost[a, s] * problem.worth[s]
            stopped_loss -= part
            stopped_squares -= part * part
            passed += problem.share[s]
            level = levels[b, s]
            here = problem.share[s] * problem.backbone[b] + problem.lost[b, s] * problem.worth[s]
            part = problem.lost[b, s] * problem.weights[0, s]
            cost[0] += here
            cost[level] += problem.share[s] * problem.backbone[exits] - here
            loss[0] += part
            loss[level] -= part
            squares[0] += part * part
            squares[level] -= part * part
            s = chain[s]
        if i < low:
            continue
        sum_cost = done[0] + stopped + share * (heads + (problem.head[a] if i < never else 0.0))
        sum_loss, sum_squares = done[1] + stopped_loss, done[2] + stopped_squares
        for j in range(most_last + 1):
            sum_cost += cost[j]
            sum_loss += loss[j]
            sum_squares += squares[j]
            total = sum_cost + (passed * problem.head[b] if j < never else 0.0)
            if total >= best_cost * (1 - tolerance) or sum_loss + floor > limit or j < least_last:
                continue
            indices[a], indices[b] = i, j
            if simple:
                kept = sum_loss + bound * math.sqrt(max(sum_squares, 0.0)) <= limit
            else:
                kept = keeps(policy_value(problem, levels, never, indices)[1])
            if kept:
                best[:] = indices
                best_cost = total
    return best_cost
