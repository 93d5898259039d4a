"""Coordinate descent from many starts, with iterated local search: for many exits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled, inlined
from eennc.policy.solvers.per_exit import Grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, Tally, add, excess, keeps, lose, put, tally
from eennc.policy.table import Floats, Ints

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
MOST_KINDS = 64
"""Kinds of samples * limits up to which codes stand for samples."""
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


class Coded(NamedTuple):
    """A table as descents read it, and the arrays they work in.

    Samples with the same share, worth and weights are of one of Z kinds; what stopping at an exit comes to depends on
    a code alone, (kind * (K + 1) + exit) * 3 + lost + 1. share, worth: float64 [Z]. weights: float64 [M, Z]. With too
    many kinds Z is 0, codes are those of one kind, and each sample is looked up. bounded: whether squares play a role.
    levels: [K, n]. codes: [K + 1, n]. behind [K, n]: the code of a sample that passes exit k. alive, left: int32 [n].
    """

    levels: NDArray[Any]
    codes: NDArray[Any]
    share: Floats
    worth: Floats
    weights: Floats
    bounded: bool
    behind: NDArray[Any]
    alive: NDArray[np.int32]
    left: NDArray[np.int32]


def code(problem: Problem, grids: Grids, most: int = MOST_KINDS) -> Coded:
    """What descents take; of more kinds * limits than `most`, or with groups, each sample is of its own kind."""
    exits, n = grids.levels.shape
    kind, first = np.zeros(n, np.int64), np.zeros(1, np.int64)
    for row in (problem.share, problem.worth, *problem.weights):
        # most rows have one value
        if len(first) <= most and (row != row[0]).any():
            _, value = np.unique(row, return_inverse=True)
            _, first, kind = np.unique(kind * n + value, return_index=True, return_inverse=True)
    if len(first) * len(problem.limits) > most or len(problem.cluster) > 0:
        kind, first = np.zeros(n, np.int64), np.zeros(0, np.int64)
    codes = (kind * (exits + 1) + np.arange(exits + 1)[:, None]) * 3 + problem.lost + 1
    small = np.int16 if max(int(codes.max()), grids.never) < 2**15 else np.int32
    return Coded(
        grids.levels.astype(small),
        codes.astype(small),
        problem.share[first],
        problem.worth[first],
        problem.weights[:, first],
        bool((problem.bounds > 0).any()),
        np.empty((exits, n), small),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
    )


class _Search:
    """The cheapest policy found so far that keeps the limits; never-exit at first."""

    def __init__(self, problem: Problem, grids: Grids) -> None:
        self.problem = problem
        self.levels, self.never = grids.levels, grids.never
        self.coded = code(problem, grids)
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
        return descend(self.problem, self.coded, self.never, start, price)

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
        self.keep(without_idle(self.levels, never, polish(self.problem, self.coded, never, self.best)))
        return price


@inlined
def score_of(cost: float, over: float, price: float, ceiling: float) -> float:
    """What a descent makes smaller: cost + price * excess, or under the limits the cost; a policy that breaks one comes
    behind all that keep them, the one that breaks them least first. No policy costs more than `ceiling`.
    """
    if price >= 0:
        return cost + price * over
    if keeps(over):
        return cost
    return 2 * ceiling * (1 + over)


@compiled
def go_round(
    problem: Problem, coded: Coded, never: int, indices: Ints, price: float, update: bool
) -> tuple[float, int, int]:
    """Every exit's best threshold in turn, the other exits fixed. With `update` each is set at once in `indices`, else
    nothing is changed. Returns the best score, and the exit and index that it was found at last.

    Exits in front of exit k have decided who reaches it, and those behind where each of these would go, which is
    known beforehand; so a round takes time in proportion to exits * samples.
    """
    exits, n = coded.levels.shape
    behind, alive = coded.behind, coded.alive
    behind[exits - 1] = coded.codes[exits]
    for k in range(exits - 1, 0, -1):
        _fall(coded.levels[k], coded.codes[k], indices[k], behind[k], behind[k - 1])
    # as of the beginning of the round, also for those that stop in front
    heads_to = np.zeros(exits + 1)
    for k in range(exits):
        heads_to[k] = heads_to[k - 1] + (problem.head[k] if indices[k] < never else 0.0)
    heads_to[exits] = heads_to[exits - 1]
    until = problem.backbone + heads_to
    values = values_of(problem, coded, until)

    for s in range(n):
        alive[s] = s
    count = n
    heads = 0.0
    share = problem.share.sum()
    ceiling = problem.backbone[-1] + problem.head.sum() + problem.worth.sum()
    nothing, gone, here = tally(problem, 1), tally(problem, 1), tally(problem, never + 1)
    best_score, best_exit, best_index = np.inf, 0, never
    for k in range(exits):
        put(here, 0, gone, 0)
        for i in range(1, never + 1):
            put(here, i, nothing, 0)
        if len(coded.share) > 0:
            _spread_kinds(coded, values, k, count, here)
        else:
            _spread_samples(problem, coded, until, k, count, here)
        here.cost[0] += share * (heads + problem.head[k] - heads_to[k])
        here.cost[never] -= share * problem.head[k]
        alone = (indices < never).sum() == (1 if indices[k] < never else 0)
        chosen, chosen_score = never, np.inf
        for i in range(never + 1):
            if i > 0:
                add(here, i, here, i - 1)
            # without any exit the network is the base network, for certain
            over = -problem.limits.min() if i == never and alone else excess(problem, here, i)
            score = score_of(here.cost[i], over, price, ceiling)
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
        count, stopped = _leave(coded.levels[k], indices[k], alive, count, coded.left)
        if len(coded.share) > 0:
            left = _stop_kinds(coded, values, k, stopped, gone)
        else:
            left = _stop_samples(problem, coded, until, k, stopped, gone)
        gone.cost[0] += left * (heads - heads_to[k])
        share -= left
    return best_score, best_exit, best_index


@compiled
def _fall(levels: NDArray[Any], codes: NDArray[Any], index: int, behind: NDArray[Any], into: NDArray[Any]) -> None:
    """Where samples go that pass the exit in front: stop here, or go where those go that pass this exit; [n]."""
    at = levels.dtype.type(index)
    for s in range(len(into)):
        into[s] = codes[s] if levels[s] > at else behind[s]


@compiled
def _leave(levels: NDArray[Any], index: int, alive: NDArray[np.int32], count: int, left: NDArray[np.int32]) -> Any:
    """Take those who stop out of the first `count` of `alive`, and put them into `left`; returns how many there are of
    either.
    """
    at = levels.dtype.type(index)
    stay, gone = 0, 0
    for a in range(count):
        s = alive[a]
        stops = levels[s] > at
        alive[stay] = s
        left[gone] = s
        gone += stops
        stay += not stops
    return stay, gone


@compiled
def values_of(problem: Problem, coded: Coded, until: Floats) -> Floats:
    """What a code comes to, [2 + 2 * M, codes]: the cost of stopping there, if to go as far costs `until` [K + 1]; the
    share; per limit the loss; and its square.
    """
    limits = len(problem.limits)
    values = np.zeros((2 + 2 * limits, len(coded.share) * len(until) * 3))
    for kind in range(len(coded.share)):
        for k in range(len(until)):
            for lost in range(-1, 2):
                code = (kind * len(until) + k) * 3 + lost + 1
                values[0, code] = coded.share[kind] * until[k] + lost * coded.worth[kind]
                values[1, code] = coded.share[kind]
                for m in range(limits):
                    part = lost * coded.weights[m, kind]
                    values[2 + m, code], values[2 + limits + m, code] = part, part * part
    return values


@compiled
def _spread_kinds(coded: Coded, values: Floats, k: int, count: int, into: Tally) -> None:
    """Add to `into` at 0 what the samples alive come to that all stop at exit k, and at each level what changes where
    those of the level pass; costs are those of the values.
    """
    limits = into.loss.shape[1]
    levels, own, behind = coded.levels[k], coded.codes[k], coded.behind[k]
    into.cost[0] += _spread(levels, own, behind, coded.alive, count, values[0], into.cost)
    for m in range(limits):
        into.loss[0, m] += _spread(levels, own, behind, coded.alive, count, values[2 + m], into.loss[:, m])
        if coded.bounded:
            squares = into.squares[:, m]
            squares[0] += _spread(levels, own, behind, coded.alive, count, values[2 + limits + m], squares)


@compiled
def _spread(
    levels: NDArray[Any],
    own: NDArray[Any],
    behind: NDArray[Any],
    alive: NDArray[np.int32],
    count: int,
    values: Floats,
    into: Floats,
) -> float:
    """Add to `into` at each sample's level the value of its code behind less that of its own; returns the sum of the
    latter.
    """
    total = 0.0
    for a in range(count):
        s = alive[a]
        value = values[own[s]]
        total += value
        into[levels[s]] += values[behind[s]] - value
    return total


@compiled
def _spread_samples(problem: Problem, coded: Coded, until: Floats, k: int, count: int, into: Tally) -> None:
    """What `_spread_kinds` does, for samples that are all of their own kind."""
    for a in range(count):
        s = coded.alive[a]
        level, to = coded.levels[k, s], coded.behind[k, s] // 3
        into.cost[0] += problem.share[s] * until[k]
        into.cost[level] += problem.share[s] * (until[to] - until[k])
        lose(problem, into, 0, s, k, 1)
        if problem.lost[k, s] != problem.lost[to, s]:
            lose(problem, into, level, s, to, 1)
            lose(problem, into, level, s, k, -1)


@compiled
def _stop_kinds(coded: Coded, values: Floats, k: int, stopped: int, into: Tally) -> float:
    """Add to `into` at 0 what those `left` come to that stop at exit k; returns their share."""
    limits = into.loss.shape[1]
    sums = np.zeros(len(values))
    own = coded.codes[k]
    counts = np.zeros(values.shape[1], np.int64)
    for a in range(stopped):
        counts[own[coded.left[a]]] += 1
    for code in range(len(counts)):
        if counts[code] > 0:
            for v in range(len(sums)):
                sums[v] += counts[code] * values[v, code]
    into.cost[0] += sums[0]
    for m in range(limits):
        into.loss[0, m] += sums[2 + m]
        into.squares[0, m] += sums[2 + limits + m]
    return sums[1]


@compiled
def _stop_samples(problem: Problem, coded: Coded, until: Floats, k: int, stopped: int, into: Tally) -> float:
    """What `_stop_kinds` does, for samples that are all of their own kind."""
    share = 0.0
    for a in range(stopped):
        s = coded.left[a]
        share += problem.share[s]
        lose(problem, into, 0, s, k, 1)
    into.cost[0] += share * until[k]
    return share


@compiled
def descend(problem: Problem, coded: Coded, never: int, start: Ints, price: float) -> Ints:
    """The local optimum that coordinate descent reaches from `start`."""
    indices = start.copy()
    smallest = 1e-9 * problem.backbone[-1]
    last = np.inf
    while True:
        score, _, _ = go_round(problem, coded, never, indices, price, True)
        if not score < last - smallest:
            return indices
        last = score


@compiled
def polish(problem: Problem, coded: Coded, never: int, start: Ints) -> Ints:
    """Move pairs of thresholds under the limit, one by a few steps or out, the other to its best, while that helps."""
    indices = start.copy()
    smallest = 1e-9 * problem.backbone[-1]
    last, _, _ = go_round(problem, coded, never, indices, CONSTRAINED, True)
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
                score, exit, index = go_round(problem, coded, never, trial, CONSTRAINED, False)
                if score < last - smallest:
                    trial[exit] = index
                    indices = trial
                    last = score
                    improved = True
    return indices
