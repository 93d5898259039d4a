"""The optimum on a grid, by enumeration with bounds: for few exits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.descent import CONSTRAINED, go_round, solve_descent
from eennc.policy.solvers.per_exit import Grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.statistics import SLACK
from eennc.policy.table import Floats, Ints

PRICES = np.geomspace(0.1, 1e3, 25)
"""Prices of a unit of loss, in networks, that bounds are made with."""


def solve_exact(problem: Problem, grids: Grids) -> Ints:
    """Indices [K] into the grids of the policy with the least mean cost among all that keep the limit; never-exit keeps
    every limit.

    All thresholds but the last two are enumerated; for the samples that come by these, tables over both of the last
    give every outcome. A branch is left where a bound says that it holds nothing cheaper than the best so far, at
    first that of coordinate descent: with any price >= 0, cost + price * (loss - limit) is at most the cost of what
    keeps the limit, and least where every sample stops where that suits it best.
    """
    levels, never = grids.levels, grids.never
    if problem.exits == 1:
        indices = np.full(1, never, np.int64)
        go_round(problem, levels, never, indices, CONSTRAINED, True)
        kept = keeps(policy_value(problem, levels, never, indices)[1])
        return indices if kept else np.full(1, never, np.int64)
    best = solve_descent(problem, grids, (), 0)
    found = enumerate_all(problem, levels, never, best, *_tightest(problem))
    return without_idle(levels, never, found)


def _tightest(problem: Problem) -> tuple[int, float]:
    """The limit and the price of its loss at which the bound of the whole tree is highest."""
    cost = problem.share * (problem.backbone + np.append(problem.head, 0.0))[:, None] + problem.worth * problem.lost
    bounds: list[tuple[float, int, float]] = []
    for m, limit in enumerate(problem.limits):
        for price in PRICES * problem.backbone[-1]:
            priced = cost + price * problem.weights[m] * problem.lost
            bounds.append((float(priced.min(axis=0).sum() - price * limit), m, float(price)))
    return max(bounds)[1:]


@compiled
def enumerate_all(
    problem: Problem, levels: NDArray[np.int32], never: int, start: Ints, priced: int, price: float
) -> Ints:
    """The cheapest policy that keeps the limits; `start`, which keeps them, where none is cheaper."""
    exits, n = levels.shape
    depth = exits - 2
    smallest = 1e-9 * problem.backbone[-1]
    best = start.copy()
    best_cost, _ = policy_value(problem, levels, never, best)
    lost_cost = problem.worth + price * problem.weights[priced]
    # floor[d, s]: the least that sample s can add to cost + price * loss from exit d on, heads in front left out
    floor = np.empty((exits + 1, n))
    floor[exits] = problem.share * problem.backbone[exits]
    for k in range(exits - 1, -1, -1):
        here = problem.share * (problem.backbone[k] + problem.head[k]) + lost_cost * problem.lost[k]
        floor[k] = np.minimum(floor[k + 1], here)
    alive = np.empty((depth + 1, n), np.int64)
    alive[0] = np.arange(n)
    count = np.full(depth + 1, n)
    heads = np.zeros(depth + 1)
    # of the samples that have stopped: cost, loss in the first limit and its squares, loss in that of the price
    done = np.zeros((depth + 1, 4))
    indices = np.full(exits, never, np.int64)
    indices[:depth] = -1
    d = 0
    while d >= 0:
        if d == depth:
            best_cost = last_two(
                problem, levels, never, indices, alive[d, : count[d]], heads[d], done[d], best, best_cost
            )
            d -= 1
            continue
        indices[d] += 1
        if indices[d] > never:
            indices[d] = -1
            d -= 1
            continue
        out = indices[d] == never
        heads[d + 1] = heads[d] + (0.0 if out else problem.head[d])
        done[d + 1] = done[d]
        stay = 0
        rest = 0.0
        for a in range(count[d]):
            s = alive[d, a]
            if levels[d, s] > indices[d]:
                lost, weight = problem.lost[d, s], problem.weights[0, s]
                done[d + 1, 0] += problem.share[s] * (problem.backbone[d] + heads[d + 1]) + lost * problem.worth[s]
                done[d + 1, 1] += lost * weight
                done[d + 1, 2] += lost * lost * weight * weight
                done[d + 1, 3] += lost * problem.weights[priced, s]
            else:
                alive[d + 1, stay] = s
                stay += 1
                rest += floor[d + 1, s] + problem.share[s] * heads[d + 1]
        if stay == count[d] and not out:
            continue  # no sample stops: as good as leaving the exit out, and dearer
        count[d + 1] = stay
        if done[d + 1, 0] + rest + price * (done[d + 1, 3] - problem.limits[priced]) < best_cost - smallest:
            d += 1
    return best


@compiled
def last_two(
    problem: Problem,
    levels: NDArray[np.int32],
    never: int,
    indices: Ints,
    alive: Ints,
    heads: float,
    done: Floats,
    best: Ints,
    best_cost: float,
) -> float:
    """Try all thresholds of the last two exits for the samples `alive`; puts what is cheapest into `best`, and returns
    its cost. Tables over both thresholds give the cost and the loss in the first limit; where there is more to look at,
    policies that are cheaper and keep that loss are evaluated one by one.
    """
    exits = len(indices)
    a, b = exits - 2, exits - 1
    smallest = 1e-9 * problem.backbone[-1]
    bound, least = problem.bounds[0], problem.least[0]
    most = problem.limits[0] + SLACK if problem.limits[0] < 1 else np.inf
    simple = len(problem.limits) == 1 and len(problem.cluster) == 0
    # at[i]: the samples of level i at the first of the two, as a chain of their positions
    at = np.full(never + 1, -1)
    chain = np.empty(len(alive), np.int64)
    share, stopped, stopped_loss, stopped_squares = 0.0, 0.0, 0.0, 0.0
    for position in range(len(alive)):
        s = alive[position]
        level = levels[a, s]
        chain[position] = at[level]
        at[level] = position
        share += problem.share[s]
        part = problem.lost[a, s] * problem.weights[0, s]
        stopped += problem.share[s] * problem.backbone[a] + problem.lost[a, s] * problem.worth[s]
        stopped_loss += part
        stopped_squares += part * part
    passed = 0.0
    cost, loss, squares = np.zeros(never + 1), np.zeros(never + 1), np.zeros(never + 1)
    for i in range(never + 1):
        position = at[i]
        while position >= 0:
            s = alive[position]
            position = chain[position]
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
        sum_cost = done[0] + stopped + share * (heads + (problem.head[a] if i < never else 0.0))
        sum_loss, sum_squares = done[1] + stopped_loss, done[2] + stopped_squares
        for j in range(never + 1):
            sum_cost += cost[j]
            sum_loss += loss[j]
            sum_squares += squares[j]
            total = sum_cost + (passed * problem.head[b] if j < never else 0.0)
            if total >= best_cost - smallest or sum_loss + least > most:
                continue
            indices[a], indices[b] = i, j
            if simple:
                kept = sum_loss + bound * math.sqrt(max(sum_squares, 0.0)) <= most
            else:
                kept = keeps(policy_value(problem, levels, never, indices)[1])
            if kept:
                best[:] = indices
                best_cost = total
    return best_cost
