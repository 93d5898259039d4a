"""Coordinate descent from many starts, with iterated local search: for many exits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.per_exit import Grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, add, excess, keeps, lose, put, tally
from eennc.policy.table import Ints

RANDOM_STARTS = 12
KICKS = 24
"""Perturbations of the best found, each followed by a descent."""
BISECTIONS = 12
SAMPLE = 3000
"""Samples of a larger table that the search begins with."""
WIDE = 12
"""Exits up to which the sample is searched widely."""
NEAR, NEAR_BISECTIONS = 1.2, 1
"""How far from the sample's price that of the whole table is looked for, and in how many steps."""
CONSTRAINED = -1.0
"""In the place of a price: the limits themselves."""


def solve_descent(problem: Problem, grids: Grids, starts: Sequence[Ints], seed: int, thorough: bool = True) -> Ints:
    """Indices [K] into the grids of the cheapest policy found that keeps the limits.

    One exit's threshold at a time goes to its best value, the others fixed, until none moves: first for cost + price *
    excess, then for cost under the limits. The price is bisected to where the limits are just kept; around it the
    descent begins at never-exit, at all-at-the-first, at the given `starts` and at random points, then at perturbations
    of the best. At last pairs of thresholds are moved. Of a large table this is done on a sample, and the answer and
    its price are the start of a few descents on the whole. Never worse than never-exit or a start that keeps the
    limits. Not `thorough`: without random points, perturbations and pairs, in a fraction of the time.
    """
    random = np.random.default_rng(seed)
    n = grids.levels.shape[1]
    search = _Search(problem, grids)
    if n <= 2 * SAMPLE:
        search.widely(starts, random, thorough)
        return search.best
    chosen = np.sort(random.choice(n, SAMPLE, replace=False))
    sample = _Search(problem.among(chosen), Grids(grids.thresholds, np.ascontiguousarray(grids.levels[:, chosen])))
    price = sample.widely(starts, random, thorough and problem.exits <= WIDE)
    for start in starts:
        search.keep(start)
    search.bisect(sample.best, price / NEAR, price * NEAR, NEAR_BISECTIONS)
    return search.best


class _Search:
    """The cheapest policy found so far that keeps the limits; never-exit at first."""

    def __init__(self, problem: Problem, grids: Grids) -> None:
        self.problem = problem
        self.levels, self.never = grids.levels, grids.never
        self.best = np.full(problem.exits, grids.never, np.int64)
        self.cost = float(problem.backbone[-1])

    def keep(self, indices: Ints) -> bool:
        """Whether these keep the limits; the best from now on if they are cheaper as well."""
        cost, over = policy_value(self.problem, self.levels, self.never, indices)
        kept = bool(keeps(over))
        if kept and cost < self.cost:
            self.best, self.cost = indices, float(cost)
        return kept

    def descend(self, start: Ints, price: float = CONSTRAINED) -> Ints:
        """The local optimum at a price or under the limits."""
        return descend(self.problem, self.levels, self.never, start, price)

    def settle(self, start: Ints) -> None:
        """Descend under the limits."""
        self.keep(without_idle(self.levels, self.never, self.descend(start)))

    def bisect(self, start: Ints, low: float, high: float, steps: int, settled: bool = False) -> float:
        """Descend at prices between the two, towards the lowest with which the limits are kept, which is returned.
        Under the limits from each of them (`settled`), or from the last on either side alone.
        """
        ends = {True: start, False: start}
        at = start
        for _ in range(steps):
            middle = math.sqrt(low * high)
            at = self.descend(at, middle)
            kept = self.keep(at)
            ends[kept] = at
            if settled:
                self.settle(at)
                at = self.best
            low, high = (low, middle) if kept else (middle, high)
        if not settled:
            self.settle(ends[True])
            self.settle(ends[False])
        return high

    def widely(self, starts: Sequence[Ints], random: np.random.Generator, thorough: bool) -> float:
        """Search from everywhere; returns the price."""
        exits, never = self.problem.exits, self.never
        network = float(self.problem.backbone[-1])
        begun = [self.best, np.where(np.arange(exits) == 0, 0, never), *starts]
        for start in begun:
            self.settle(start)
        # of a loss of everything
        price = self.bisect(self.best, 1e-2 * network, 1e5 * network, BISECTIONS, settled=True)
        begun += [random.integers(0, never + 1, exits) for _ in range(RANDOM_STARTS if thorough else 0)]
        for start in begun:
            for factor in (0.7, 1.0, 1.4):
                self.settle(self.descend(start, price * factor))
        if not thorough:
            return price
        for _ in range(KICKS):
            kicked = self.best.copy()
            moved = random.choice(exits, min(exits, 3), replace=False)
            kicked[moved] = random.integers(0, never + 1, len(moved))
            self.settle(self.descend(kicked, price))
            self.settle(kicked)
        self.keep(without_idle(self.levels, never, polish(self.problem, self.levels, never, self.best)))
        return price


@compiled
def score_of(problem: Problem, cost: float, over: float, price: float) -> float:
    """What a descent makes smaller: cost + price * excess, or under the limits the cost; a policy that breaks one comes
    behind all that keep them, the one that breaks them least first.
    """
    if price >= 0:
        return cost + price * over
    if keeps(over):
        return cost
    return 2 * (problem.backbone[-1] + problem.head.sum() + problem.worth.sum()) * (1 + over)


@compiled
def go_round(
    problem: Problem, levels: NDArray[np.int32], never: int, indices: Ints, price: float, update: bool
) -> tuple[float, int, int]:
    """Every exit's best threshold in turn, the other exits fixed. With `update` each is set at once in `indices`, else
    nothing is changed. Returns the best score, and the exit and index that it was found at last.

    Exits in front of exit k have decided who reaches it, and those behind where each of these would go, which is
    known beforehand; so a round takes time in proportion to exits * samples.
    """
    exits, n = levels.shape
    later = np.full((exits, n), exits, np.int16)
    for k in range(exits - 1, 0, -1):
        for s in range(n):
            later[k - 1, s] = k if levels[k, s] > indices[k] else later[k, s]
    heads_to = np.zeros(exits + 1)
    for k in range(exits):
        heads_to[k] = heads_to[k - 1] + (problem.head[k] if indices[k] < never else 0.0)
    heads_to[exits] = heads_to[exits - 1]

    alive = np.empty(n, np.int32)
    for s in range(n):
        alive[s] = s
    count = n
    heads = 0.0
    nothing, gone, here = tally(problem, 1), tally(problem, 1), tally(problem, never + 1)
    best_score, best_exit, best_index = np.inf, 0, never
    for k in range(exits):
        put(here, 0, gone, 0)
        for i in range(1, never + 1):
            put(here, i, nothing, 0)
        share = 0.0
        for a in range(count):
            s = alive[a]
            level, to = levels[k, s], later[k, s]
            share += problem.share[s]
            here.cost[0] += problem.share[s] * (problem.backbone[k] + heads + problem.head[k])
            on = problem.backbone[to] + heads_to[to] - heads_to[k]
            here.cost[level] += problem.share[s] * (on - problem.backbone[k])
            if problem.lost[k, s] != 0:
                lose(problem, here, 0, s, k, 1)
            if problem.lost[k, s] != problem.lost[to, s]:
                lose(problem, here, level, s, to, 1)
                lose(problem, here, level, s, k, -1)
        here.cost[never] -= share * problem.head[k]
        alone = (indices < never).sum() == (1 if indices[k] < never else 0)
        chosen, chosen_score = never, np.inf
        for i in range(never + 1):
            if i > 0:
                add(here, i, here, i - 1)
            # without any exit the network is the base network, for certain
            over = -problem.limits.min() if i == never and alone else excess(problem, here, i)
            score = score_of(problem, here.cost[i], over, price)
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
                gone.cost[0] += problem.share[s] * (problem.backbone[k] + heads)
                if problem.lost[k, s] != 0:
                    lose(problem, gone, 0, s, k, 1)
            else:
                alive[stay] = s
                stay += 1
        count = stay
    return best_score, best_exit, best_index


@compiled
def descend(problem: Problem, levels: NDArray[np.int32], never: int, start: Ints, price: float) -> Ints:
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
def polish(problem: Problem, levels: NDArray[np.int32], never: int, start: Ints) -> Ints:
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
