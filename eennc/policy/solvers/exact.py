"""The optimum on a grid, by enumeration with bounds: for few exits."""

from __future__ import annotations

import numpy as np

from eennc.policy.compiled import compiled
from eennc.policy.solvers.descent import CONSTRAINED, go_round, solve_descent
from eennc.policy.solvers.per_exit import Grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, keeps, statistic_of
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
        kept = keeps(problem, policy_value(problem, levels, never, indices)[1])
        return indices if kept else np.full(1, never, np.int64)
    best = solve_descent(problem, grids, (), 0)
    found = enumerate_all(problem, levels, never, best, _tightest(problem))
    return without_idle(levels, never, found)


def _tightest(problem: Problem) -> float:
    """The price at which the bound of the whole tree is highest."""
    reachable = problem.share * (problem.backbone + np.append(problem.head, 0.0))[:, None]
    prices = PRICES * problem.backbone[-1]
    bounds = [(reachable + p * problem.regret).min(axis=0).sum() - p * problem.limit for p in prices]
    return float(prices[int(np.argmax(bounds))])


@compiled
def enumerate_all(problem: Problem, levels: Ints, never: int, start: Ints, price: float) -> Ints:
    """The cheapest policy that keeps the limit; `start`, which keeps it, where none is cheaper."""
    exits, n = levels.shape
    depth = exits - 2
    smallest = 1e-9 * problem.backbone[-1]
    best = start.copy()
    best_cost, _ = policy_value(problem, levels, never, best)
    # floor[d, s]: the least that sample s can add to cost + price * loss from exit d on, heads in front left out
    floor = np.empty((exits + 1, n))
    floor[exits] = problem.share * problem.backbone[exits] + price * problem.regret[exits]
    for k in range(exits - 1, -1, -1):
        here = problem.share * (problem.backbone[k] + problem.head[k]) + price * problem.regret[k]
        floor[k] = np.minimum(floor[k + 1], here)
    alive = np.empty((depth + 1, n), np.int64)
    alive[0] = np.arange(n)
    count = np.full(depth + 1, n)
    heads = np.zeros(depth + 1)
    done = np.zeros((depth + 1, 3))  # cost, loss, squares of the samples that have stopped
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
                part = problem.regret[d, s]
                done[d + 1, 0] += problem.share[s] * (problem.backbone[d] + heads[d + 1])
                done[d + 1, 1] += part
                done[d + 1, 2] += part * part
            else:
                alive[d + 1, stay] = s
                stay += 1
                rest += floor[d + 1, s] + problem.share[s] * heads[d + 1]
        if stay == count[d] and not out:
            continue  # no sample stops: as good as leaving the exit out, and dearer
        count[d + 1] = stay
        if done[d + 1, 0] + rest + price * (done[d + 1, 1] - problem.limit) < best_cost - smallest:
            d += 1
    return best


@compiled
def last_two(
    problem: Problem,
    levels: Ints,
    never: int,
    indices: Ints,
    alive: Ints,
    heads: float,
    done: Floats,
    best: Ints,
    best_cost: float,
) -> float:
    """Try all thresholds of the last two exits for the samples `alive`; puts what is cheapest into `best`, and returns
    its cost.
    """
    exits = len(indices)
    a, b = exits - 2, exits - 1
    smallest = 1e-9 * problem.backbone[-1]
    grouped = problem.cluster_weights.shape[0] > 0
    nothing = np.zeros(0)
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
        stopped += problem.share[s] * problem.backbone[a]
        stopped_loss += problem.regret[a, s]
        stopped_squares += problem.regret[a, s] ** 2
    passed = 0.0
    cost, loss, squares = np.zeros(never + 1), np.zeros(never + 1), np.zeros(never + 1)
    for i in range(never + 1):
        position = at[i]
        while position >= 0:
            s = alive[position]
            position = chain[position]
            stopped -= problem.share[s] * problem.backbone[a]
            stopped_loss -= problem.regret[a, s]
            stopped_squares -= problem.regret[a, s] ** 2
            passed += problem.share[s]
            level = levels[b, s]
            cost[0] += problem.share[s] * problem.backbone[b]
            cost[level] += problem.share[s] * (problem.backbone[exits] - problem.backbone[b])
            here, there = problem.regret[b, s], problem.regret[exits, s]
            loss[0] += here
            loss[level] += there - here
            squares[0] += here * here
            squares[level] += there * there - here * here
        sum_cost = done[0] + stopped + share * (heads + (problem.head[a] if i < never else 0.0))
        sum_loss, sum_squares = done[1] + stopped_loss, done[2] + stopped_squares
        for j in range(never + 1):
            sum_cost += cost[j]
            sum_loss += loss[j]
            sum_squares += squares[j]
            total = sum_cost + (passed * problem.head[b] if j < never else 0.0)
            if total >= best_cost - smallest or not keeps(problem, min(sum_loss + problem.least, 1.0)):
                continue
            indices[a], indices[b] = i, j
            if grouped:
                value = policy_value(problem, levels, never, indices)[1]
            else:
                value = statistic_of(problem, sum_loss, sum_squares, nothing, nothing)
            if keeps(problem, value):
                best[:] = indices
                best_cost = total
    return best_cost
