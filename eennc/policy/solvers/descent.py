"""Coordinate descent from many starts, with iterated local search: for many exits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from eennc.policy.solvers.per_exit import Grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.solvers.rounds import CONSTRAINED, code, descend, polish
from eennc.policy.table import Ints

RANDOM_STARTS = 12
KICKS, MOVED = 24, 3
"""Perturbations of the best found, each followed by a descent, and how many thresholds one moves."""
BISECTIONS = 12
SAMPLE = 3000
"""Samples of a larger table that the search begins with."""
LARGE_KICKS, LARGE_MOVED, DRIFT = (12, 60), 2, 1.01
"""Those on the whole of a large table, fewest and most, and how fast the price moves with them."""
LARGE_WORK = 6e7
"""Exits * samples, times perturbations or exits, up to which there are more of them and pairs are moved there."""
WIDE = 12
"""Exits up to which the sample is searched widely."""
STEP, NEAR, APPROACHES = 1.15, 1.04, 8
"""From the sample's price towards that of the whole table: how far a step is, the precision, and the most steps."""


def solve_descent(problem: Problem, grids: Grids, starts: Sequence[Ints], seed: int, thorough: bool = True) -> Ints:
    """Indices [K] into the grids of the cheapest policy found that keeps the limits.

    One exit's threshold at a time goes to its best value, the others fixed, until none moves: first for cost + price *
    excess, then for cost under the limits. The price is bisected to where the limits are just kept; around it the
    descent begins at never-exit, at all-at-the-first, at the given `starts` and at random points, then at perturbations
    of the best. At last pairs of thresholds are moved. Of a large table this is done on a sample; on the whole, its
    price is corrected, and the best at that price perturbed. Never worse than never-exit or a start that keeps the
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
    size = grids.levels.size
    kicks = int(np.clip(LARGE_WORK / size, *LARGE_KICKS)) if thorough else 0
    search.stir(search.approach(sample.best, price), random, kicks)
    if thorough and problem.exits * size <= LARGE_WORK:
        search.pairs()
    return search.best


class _Search:
    """The cheapest policy found so far that keeps the limits; never-exit at first."""

    def __init__(self, problem: Problem, grids: Grids) -> None:
        self.problem = problem
        self.coded, self.never = code(problem, grids), grids.never
        self.best = np.full(problem.exits, grids.never, np.int64)
        self.cost = float(problem.backbone[-1])

    def keep(self, indices: Ints) -> bool:
        """Whether these keep the limits; the best from now on if they are cheaper as well."""
        cost, over = policy_value(self.problem, self.coded.levels, self.never, indices)
        kept = bool(keeps(over))
        if kept and cost < self.cost:
            self.best, self.cost = indices, float(cost)
        return kept

    def descend(self, start: Ints, price: float = CONSTRAINED) -> Ints:
        """The local optimum at a price or under the limits."""
        return descend(self.problem, self.coded, self.never, start, price)[0]

    def settle(self, start: Ints) -> None:
        """Descend under the limits."""
        self.keep(without_idle(self.coded.levels, self.never, self.descend(start)))

    def bisect(self, start: Ints, low: float, high: float) -> float:
        """Descend at prices between the two, towards the lowest with which the limits are kept, which is returned, and
        under the limits from each of them.
        """
        at = start
        for _ in range(BISECTIONS):
            middle = math.sqrt(low * high)
            at = self.descend(at, middle)
            low, high = (low, middle) if self.keep(at) else (middle, high)
            self.settle(at)
            at = self.best
        return high

    def approach(self, start: Ints, price: float) -> float:
        """The price, from one near it on, above which the limits are kept; descend under them from either side."""
        low, high = 0.0, math.inf
        ends = {True: start, False: start}
        at = start
        for _ in range(APPROACHES):
            at = self.descend(at, price)
            kept = self.keep(at)
            ends[kept] = at
            low, high = (low, price) if kept else (price, high)
            if high <= NEAR * low:
                break
            price = math.sqrt(low * high) if low > 0 and high < math.inf else price * (1 / STEP if kept else STEP)
        self.settle(ends[True])
        self.settle(ends[False])
        return price

    def kicked(self, start: Ints, random: np.random.Generator, most: int) -> Ints:
        """`most` thresholds elsewhere."""
        exits = self.problem.exits
        found = start.copy()
        moved = random.choice(exits, min(exits, most), replace=False)
        found[moved] = random.integers(0, self.never + 1, len(moved))
        return found

    def stir(self, price: float, random: np.random.Generator, kicks: int) -> None:
        """Perturb the best at a price, and descend under the limits from what can become cheaper than the best. The
        price follows what is found, towards where the limits are just kept.
        """
        base, cost, over = self.best, math.inf, 0.0
        for i in range(1 + kicks):
            at = self.descend(self.kicked(base, random, LARGE_MOVED) if i else base, price)
            at_cost, at_over = policy_value(self.problem, self.coded.levels, self.never, at)
            if at_cost + price * at_over < cost + price * over:
                base, cost, over = at, at_cost, at_over
            # under the limits nothing behind it costs less, mostly
            if at_cost + price * at_over < self.cost:
                self.settle(at)
            price *= 1 / DRIFT if keeps(over) else DRIFT

    def pairs(self) -> None:
        """Move pairs of thresholds."""
        found = polish(self.problem, self.coded, self.never, self.best)
        self.keep(without_idle(self.coded.levels, self.never, found))

    def widely(self, starts: Sequence[Ints], random: np.random.Generator, thorough: bool) -> float:
        """Search from everywhere; returns the price."""
        exits, never = self.problem.exits, self.never
        network = float(self.problem.backbone[-1])
        begun = [self.best, np.where(np.arange(exits) == 0, 0, never), *starts]
        for start in begun:
            self.settle(start)
        # of a loss of everything
        price = self.bisect(self.best, 1e-2 * network, 1e5 * network)
        begun += [random.integers(0, never + 1, exits) for _ in range(RANDOM_STARTS if thorough else 0)]
        for start in begun:
            for factor in (0.7, 1.0, 1.4):
                self.settle(self.descend(start, price * factor))
        if not thorough:
            return price
        for _ in range(KICKS):
            kicked = self.kicked(self.best, random, MOVED)
            self.settle(self.descend(kicked, price))
            self.settle(kicked)
        self.pairs()
        return price
