"""Coordinate descent from many starts, with iterated local search: for many exits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eennc.policy.compiled import compiled
from eennc.policy.solvers.per_exit import Grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, keeps, statistic_of
from eennc.policy.table import Ints

RANDOM_STARTS = 12
KICKS = 24
"""Perturbations of the best found, each followed by a descent."""
BISECTIONS = 12
CONSTRAINED = -1.0
"""In the place of a price: the limit itself."""


def solve_descent(problem: Problem, grids: Grids, starts: Sequence[Ints], seed: int, thorough: bool = True) -> Ints:
    """Indices [K] into the grids of the cheapest policy found that keeps the limit.

    One exit's threshold at a time goes to its best value, the others fixed, until none moves: first for cost + price *
    loss, then for cost under the limit. The price is bisected to where the limit is just kept; around it the descent
    begins at never-exit, at all-at-the-first, at the given `starts` and at random points, then at perturbations of the
    best. At last pairs of thresholds are moved. Never worse than never-exit or a start that keeps the limit. Not
    `thorough`: without random points, perturbations and pairs, in a fraction of the time.
    """
    levels, never = grids.levels, grids.never
    exits = problem.exits
    best = np.full(exits, never, np.int64)
    best_cost = float(problem.backbone[-1])
    random = np.random.default_rng(seed)
    begun = [best.copy(), np.where(np.arange(exits) == 0, 0, never), *starts]

    def consider(start: Ints, price: float) -> bool:
        nonlocal best, best_cost
        priced = descend(problem, levels, never, start, price) if price > 0 else start
        kept = bool(keeps(problem, policy_value(problem, levels, never, priced)[1]))
        found = without_idle(levels, never, descend(problem, levels, never, priced, CONSTRAINED))
        cost, value = policy_value(problem, levels, never, found)
        if keeps(problem, value) and cost < best_cost:
            best, best_cost = found, float(cost)
        return kept

    for start in begun:
        consider(start, CONSTRAINED)
    # of a loss of everything, in networks
    low, high = np.log(1e-2), np.log(1e5)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if consider(best, float(np.exp(middle) * problem.backbone[-1])):
            high = middle
        else:
            low = middle
    price = float(np.exp(high) * problem.backbone[-1])
    begun += [random.integers(0, never + 1, exits) for _ in range(RANDOM_STARTS if thorough else 0)]
    for start in begun:
        for factor in (0.7, 1.0, 1.4):
            consider(start, price * factor)
    if not thorough:
        return best
    for _ in range(KICKS):
        kicked = best.copy()
        chosen = random.choice(exits, min(exits, 3), replace=False)
        kicked[chosen] = random.integers(0, never + 1, len(chosen))
        consider(kicked, price)
        consider(kicked, CONSTRAINED)
    return without_idle(levels, never, polish(problem, levels, never, best))


@compiled
def score_of(problem: Problem, cost: float, value: float, price: float) -> float:
    """What a descent makes smaller: cost + price * value, or under the limit the cost; a policy that breaks the limit
    comes behind all that keep it, the one that breaks it least first.
    """
    if price >= 0:
        return cost + price * value
    if keeps(problem, value):
        return cost
    return 2 * (problem.backbone[-1] + problem.head.sum()) * (1 + value - problem.limit)


@compiled
def go_round(
    problem: Problem, levels: Ints, never: int, indices: Ints, price: float, update: bool
) -> tuple[float, int, int]:
    """Every exit's best threshold in turn, the other exits fixed. With `update` each is set at once in `indices`, else
    nothing is changed. Returns the best score, and the exit and index that it was found at last.

    Exits in front of exit k have decided who reaches it, and those behind where each of these would go, which is
    known beforehand; so a round takes time in proportion to exits * samples.
    """
    exits, n = levels.shape
    groups, classes = problem.cluster_weights.shape
    later = np.empty((exits, n), np.int32)
    stop = np.full(n, exits, np.int32)
    for k in range(exits - 1, -1, -1):
        later[k] = stop
        if indices[k] < never:
            for s in range(n):
                if levels[k, s] > indices[k]:
                    stop[s] = k
    heads_to = np.zeros(exits + 1)
    for k in range(exits):
        heads_to[k] = heads_to[k - 1] + (problem.head[k] if indices[k] < never else 0.0)
    heads_to[exits] = heads_to[exits - 1]

    alive = np.arange(n, dtype=np.int64)
    count = n
    heads = 0.0
    gone_cost, gone_loss, gone_squares = 0.0, 0.0, 0.0
    gone_sums, gone_strata = np.zeros(groups), np.zeros(classes)
    cost, loss, squares = np.empty(never + 1), np.empty(never + 1), np.empty(never + 1)
    sums, strata = np.empty((never + 1, groups)), np.empty((never + 1, classes))
    best_score, best_exit, best_index = np.inf, 0, never
    for k in range(exits):
        cost[:], loss[:], squares[:], sums[:], strata[:] = 0.0, 0.0, 0.0, 0.0, 0.0
        cost[0], loss[0], squares[0], sums[0], strata[0] = gone_cost, gone_loss, gone_squares, gone_sums, gone_strata
        share = 0.0
        for a in range(count):
            s = alive[a]
            level, to = levels[k, s], later[k, s]
            share += problem.share[s]
            macs = heads + problem.head[k]
            cost[0] += problem.share[s] * (problem.backbone[k] + macs)
            on = problem.backbone[to] + heads_to[to] - heads_to[k]
            cost[level] += problem.share[s] * (on - problem.backbone[k])
            here, there = problem.regret[k, s], problem.regret[to, s]
            if here != 0 or there != 0:
                loss[0] += here
                loss[level] += there - here
                squares[0] += here * here
                squares[level] += there * there - here * here
                if groups > 0:
                    g, c = problem.cluster[s], problem.stratum[s]
                    sums[0, g] += here
                    sums[level, g] += there - here
                    strata[0, c] += here
                    strata[level, c] += there - here
        cost[never] -= share * problem.head[k]
        alone = (indices < never).sum() == (1 if indices[k] < never else 0)
        chosen, chosen_score = never, np.inf
        for i in range(never + 1):
            if i > 0:
                cost[i] += cost[i - 1]
                loss[i] += loss[i - 1]
                squares[i] += squares[i - 1]
                sums[i] += sums[i - 1]
                strata[i] += strata[i - 1]
            value = 0.0  # without any exit the network is the base network, for certain
            if i < never or not alone:
                value = statistic_of(problem, loss[i], squares[i], sums[i], strata[i])
            score = score_of(problem, cost[i], value, price)
            # of equal ones the highest threshold
            if score <= chosen_score:
                chosen, chosen_score = i, score
        if update or chosen_score < best_score:
            best_score, best_exit, best_index = chosen_score, k, chosen
        if update:
            indices[k] = chosen
        if indices[k] == never:
            continue
        heads += problem.head[k]
        stay = 0
        for a in range(count):
            s = alive[a]
            if levels[k, s] > indices[k]:
                part = problem.regret[k, s]
                gone_cost += problem.share[s] * (problem.backbone[k] + heads)
                gone_loss += part
                gone_squares += part * part
                if groups > 0:
                    gone_sums[problem.cluster[s]] += part
                    gone_strata[problem.stratum[s]] += part
            else:
                alive[stay] = s
                stay += 1
        count = stay
    return best_score, best_exit, best_index


@compiled
def descend(problem: Problem, levels: Ints, never: int, start: Ints, price: float) -> Ints:
    """The local optimum that coordinate descent reaches from `start`."""
    indices = start.copy()
    smallest = 1e-9 * problem.backbone[-1]
    last = np.inf
    while True:
        score, _, _ = go_round(problem, levels, never, indices, price, True)
        if not score < last - smallest:
            return indices
        last = score


@compiled
def polish(problem: Problem, levels: Ints, never: int, start: Ints) -> Ints:
    """Move pairs of thresholds under the limit, one by a few steps or out, the other to its best, while that helps."""
    indices = start.copy()
    smallest = 1e-9 * problem.backbone[-1]
    last, _, _ = go_round(problem, levels, never, indices, CONSTRAINED, True)
    improved = True
    while improved:
        improved = False
        for k in range(len(indices)):
            for step in (-1, 1, -8, 8, never):
                moved = min(max(indices[k] + step, 0), never)
                if moved == indices[k]:
                    continue
                trial = indices.copy()
                trial[k] = moved
                score, exit, index = go_round(problem, levels, never, trial, CONSTRAINED, False)
                if score < last - smallest:
                    trial[exit] = index
                    indices = trial
                    last = score
                    improved = True
    return indices
