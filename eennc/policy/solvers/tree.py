"""All policies of a box, by enumeration: the multipliers of a relaxation say which beginnings need not be looked at.

The least value of a relaxation over the policies with a given beginning splits into what the beginning does to each
sample, what each sample can come to from there, and what the thresholds to come can come to. So one pass over the
samples bounds all continuations of a beginning by one threshold.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.per_exit import policy_value
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.solvers.relaxation import (
    FIRES,
    FORBIDDEN,
    OUT,
    PASSES,
    Linear,
    Singles,
    allowed,
    outcome_at,
    pair_sums,
)
from eennc.policy.statistics import SLACK
from eennc.policy.table import Floats, Ints


class ToGo(NamedTuple):
    """What is left of a relaxation's value behind each exit. All in networks.

    rest, going: float64 [K + 1, 3, n], of samples that have stopped, and that have not, by their outcome at the exit
    before (at exit 0 by none: in the first entry). both: float64 [K - 1, T + 1, T + 1], `pair_sums`. backward: float64
    [K, T + 1], the least of the multipliers behind each exit's index.
    """

    rest: Floats
    going: Floats
    both: Floats
    backward: Floats


@compiled
def to_go(
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    multipliers: Singles,
    price: float,
) -> ToGo:
    """The parts of the relaxation's value in a box, in double precision."""
    exits, n = levels.shape
    rest, going = np.zeros((exits + 1, 3, n)), np.zeros((exits + 1, 3, n))
    for s in range(n):
        going[exits, :, s] = linear.share[s] * linear.backbone[exits] + price * linear.regret[exits, s]
    for k in range(exits - 1, -1, -1):
        for s in range(n):
            level, share = levels[k, s], linear.share[s]
            stop = share * (linear.backbone[k] + linear.head[k]) + linear.worth[k, s] + price * linear.regret[k, s]
            for before in range(3 if k > 0 else 1):
                gone, on = FORBIDDEN, FORBIDDEN
                for o in range(3):
                    if not allowed(level, low[k], high[k], never, o):
                        continue
                    m = multipliers[k - 1, 3 * before + o, s] if k > 0 else 0.0
                    gone = min(gone, rest[k + 1, o, s] - m)
                    if o == FIRES:
                        on = min(on, stop + rest[k + 1, o, s] - m)
                    else:
                        on = min(on, going[k + 1, o, s] + (share * linear.head[k] if o == PASSES else 0.0) - m)
                rest[k, before, s], going[k, before, s] = gone, on
    both = pair_sums(levels, never, multipliers)
    backward = np.full((exits, never + 1), FORBIDDEN)
    backward[exits - 1, low[exits - 1] : high[exits - 1] + 1] = 0.0
    for k in range(exits - 2, -1, -1):
        for i in range(low[k], high[k] + 1):
            for j in range(low[k + 1], high[k + 1] + 1):
                backward[k, i] = min(backward[k, i], backward[k + 1, j] + both[k, i, j])
    return ToGo(rest, going, both, backward)


@compiled
def value_of(parts: ToGo, linear: Linear, price: float) -> float:
    """The relaxation's value: a lower bound on what any policy in the box costs that keeps the linear limit."""
    return parts.going[0, 0].sum() + parts.backward[0].min() - price * linear.limit


@compiled
def tighten(parts: ToGo, linear: Linear, price: float, low: Ints, high: Ints, target: float) -> None:
    """Move the ends of the box, `low` and `high` [K], inwards past indices with a bound of at least `target`."""
    exits, size = parts.backward.shape
    rest = parts.going[0, 0].sum() - price * linear.limit
    forward = np.full((exits, size), FORBIDDEN)
    forward[0, low[0] : high[0] + 1] = 0.0
    for k in range(1, exits):
        for i in range(low[k - 1], high[k - 1] + 1):
            for j in range(low[k], high[k] + 1):
                forward[k, j] = min(forward[k, j], forward[k - 1, i] + parts.both[k - 1, i, j])
    for k in range(exits):
        while low[k] < high[k] and rest + forward[k, low[k]] + parts.backward[k, low[k]] >= target:
            low[k] += 1
        while low[k] < high[k] and rest + forward[k, high[k]] + parts.backward[k, high[k]] >= target:
            high[k] -= 1


@compiled
def enumerate_box(
    problem: Problem,
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    multipliers: Singles,
    price: float,
    parts: ToGo,
    tolerance: float,
    most: int,
    best: Ints,
) -> tuple[float, bool]:
    """Put the cheapest policy of the box that keeps the limits into `best`, which keeps them, if it is cheaper by more
    than the share `tolerance`. Returns the cost of `best` and whether all was looked at: beginnings beyond the `most`
    first are not.

    All thresholds but the last two are enumerated; tables over these give every outcome.
    """
    exits, n = levels.shape
    depth = exits - 2
    network = problem.backbone[exits]
    best_cost, _ = policy_value(problem, levels, never, best)
    # of the path up to exit d: value without what is to go, outcome at the exit before, whether it has stopped
    path, outcome, alive = (
        np.zeros((depth + 1, n)),
        np.zeros((depth + 1, n), np.int8),
        np.ones((depth + 1, n), np.bool_),
    )
    thresholds, heads, done = np.zeros(depth + 1), np.zeros(depth + 1), np.zeros((depth + 1, 3))
    bounds = np.zeros((depth + 1, never + 1))
    indices = np.zeros(exits, np.int64)
    looked = 0
    d, fresh = 0, True
    while d >= 0:
        if fresh:
            looked += 1
            if looked > most:
                return best_cost, False
            _bound_next(
                linear, levels, never, low, high, multipliers, price, parts, d, path[d], outcome[d], alive[d], bounds[d]
            )
            for i in range(low[d], high[d] + 1):
                chain = thresholds[d] + (parts.both[d - 1, indices[d - 1], i] if d > 0 else 0.0)
                bounds[d, i] += chain + parts.backward[d, i] - price * linear.limit
            fresh = False
            indices[d] = low[d] - 1
            if d == depth:
                best_cost = _last_two(
                    problem, levels, never, indices, low[d + 1], high[d + 1], alive[d], heads[d], done[d],
                    bounds[d] * network, low[d], high[d], tolerance, best, best_cost,
                )  # fmt: skip
                d -= 1
                continue
        indices[d] += 1
        index = indices[d]
        if index > high[d]:
            d -= 1
            continue
        if bounds[d, index] * network >= best_cost * (1 - tolerance):
            continue
        heads[d + 1] = heads[d] + (problem.head[d] if index < never else 0.0)
        thresholds[d + 1] = thresholds[d] + (parts.both[d - 1, indices[d - 1], index] if d > 0 else 0.0)
        done[d + 1] = done[d]
        stops = 0
        for s in range(n):
            o = outcome_at(levels[d, s], index, never)
            m = multipliers[d - 1, 3 * outcome[d, s] + o, s] if d > 0 else 0.0
            new = path[d, s] - m
            stays = alive[d, s]
            if stays:
                if o == FIRES:
                    stays = False
                    stops += 1
                    new += linear.share[s] * (linear.backbone[d] + linear.head[d])
                    new += linear.worth[d, s] + price * linear.regret[d, s]
                    lost, part = problem.lost[d, s], problem.lost[d, s] * problem.weights[0, s]
                    done[d + 1, 0] += problem.share[s] * (problem.backbone[d] + heads[d + 1]) + lost * problem.worth[s]
                    done[d + 1, 1] += part
                    done[d + 1, 2] += part * part
                elif o == PASSES:
                    new += linear.share[s] * linear.head[d]
            path[d + 1, s], outcome[d + 1, s], alive[d + 1, s] = new, o, stays
        # where no sample stops, leaving the exit out is as good, and cheaper
        if stops > 0 or index == never:
            d, fresh = d + 1, True
    return best_cost, True


@compiled
def _bound_next(
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    multipliers: Singles,
    price: float,
    parts: ToGo,
    d: int,
    path: Floats,
    outcome: NDArray[np.int8],
    alive: NDArray[np.bool_],
    bounds: Floats,
) -> None:
    """What the samples' part of the relaxation is at least for each index at exit d, behind the beginning that made
    `path`; put into `bounds` [T + 1].
    """
    sums = np.zeros(never + 1)
    out = 0.0
    last = min(high[d], never - 1)
    for s in range(levels.shape[1]):
        share, level, row = linear.share[s], levels[d, s], 3 * outcome[s]
        stay = alive[s]
        fire, passing, without = parts.rest[d + 1, 0, s], parts.rest[d + 1, 1, s], parts.rest[d + 1, 2, s]
        if stay:
            fire += share * (linear.backbone[d] + linear.head[d]) + linear.worth[d, s] + price * linear.regret[d, s]
            passing = parts.going[d + 1, PASSES, s] + share * linear.head[d]
            without = parts.going[d + 1, OUT, s]
        if d > 0:
            fire -= multipliers[d - 1, row, s]
            passing -= multipliers[d - 1, row + 1, s]
            without -= multipliers[d - 1, row + 2, s]
        out += path[s] + without
        if level <= low[d]:
            sums[low[d]] += path[s] + passing
        else:
            sums[low[d]] += path[s] + fire
            if level <= last:
                sums[level] += passing - fire
    total = 0.0
    for i in range(low[d], last + 1):
        total += sums[i]
        bounds[i] = total
    bounds[never] = out


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
    bounds: Floats,
    low: int,
    high: int,
    tolerance: float,
    best: Ints,
    best_cost: float,
) -> float:
    """Try all thresholds of the last two exits for the samples `alive`, the first of them in [low, high] and where
    `bounds` allows it, the second in [least_last, most_last]; puts what is cheapest into `best`, and returns its cost.

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
        if i < low or bounds[i] >= best_cost * (1 - tolerance):
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
