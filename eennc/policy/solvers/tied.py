"""Thresholds tied in blocks: one for each group of neighbouring exits, or for each class that an exit names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.problem import Problem, Tally, add, excess, grid_of, keeps, levels_of, lose, may_keep, tally
from eennc.policy.solvers.rounds import CONSTRAINED, score_of
from eennc.policy.table import Ints

STEPS = 1024
"""Thresholds that are tried; a block's own grid is a stretch of it."""
FEWER_STEPS = 256
"""The same where a sum per cluster is kept for each of them, or the answer is wanted fast."""
BISECTIONS, FEWER_BISECTIONS = 12, 8
KICKS = 12
"""Perturbations of the best found, each followed by a descent."""
FEWEST = 100
"""Samples that an exit must name a class for, for the class to have a threshold of its own."""


@dataclass(frozen=True)
class Room:
    """What exits may be kept: at most `exits`, whose heads cost at most `heads` MACs together and each of which saves
    `toll` MACs per sample.
    """

    exits: int
    heads: float = math.inf
    toll: float = 0.0


def solve_grouped(problem: Problem, shared: tuple[float, ...], room: Room, thorough: bool = True) -> tuple[float, ...]:
    """Thresholds [K]: one for the exits up to some place and one for those behind it, the place where it pays most.

    The search begins at `shared` [K], the thresholds of `solve_shared`, and is never worse than they are.
    """
    start = np.array(shared, np.float32)
    best = _Search(problem, np.zeros_like(problem.confidences, np.int32), start, room, thorough)
    exits = np.flatnonzero(best.kept)
    # and at the ends, where an exit that is added gets its own threshold
    cuts = {*exits.tolist(), int(exits[-1]) + 1} - {0, problem.exits} if len(exits) else set[int]()
    for cut in sorted(cuts if thorough else cuts & set(exits[1:].tolist())):
        later = (np.arange(problem.exits) >= cut).astype(np.int32)
        block = np.repeat(later[:, None], problem.confidences.shape[1], axis=1)
        found = _Search(problem, block, start, room, thorough)
        found.widely()
        best = min(best, found, key=lambda search: search.cost)
    thresholds = best.thresholds()[best.block[:, 0]]
    return tuple(float(t) if kept else math.inf for t, kept in zip(thresholds, best.kept, strict=True))


def solve_per_class(
    problem: Problem,
    named: Ints,
    classes: int,
    shared: tuple[float, ...],
    room: Room,
    thorough: bool = True,
    fewest: float = FEWEST,
) -> tuple[tuple[float, ...], ...]:
    """Thresholds [K][classes]: at all exits that are kept the same one for each class that an exit names (int64
    [K, n]).

    A class that no kept exit of `shared` names for `fewest` samples has too few to choose by, and shares one threshold
    with its like. The search begins at `shared` [K], the thresholds of `solve_shared`, and is never worse than that.
    """
    start = np.array(shared, np.float32)
    kept = np.isfinite(start)
    counts = np.array([(named[kept] == c).any(axis=0).sum() for c in range(classes)])
    own = counts >= fewest
    # block 0 is for the classes with few samples
    number = np.arange(classes) if own.all() else np.where(own, np.cumsum(own), 0)
    found = _Search(problem, number.astype(np.int32)[named], start, room, thorough)
    found.widely()
    row = tuple(float(t) for t in found.thresholds()[number])
    never = (math.inf,) * classes
    return tuple(row if k else never for k in found.kept)


class _Search:
    """The cheapest thresholds found so far, one per block, that keep the limits; those of `start` at first.

    block: int32 [K, n], whose threshold sample s meets at exit k. Costs are with the toll of the exits that are kept.
    """

    def __init__(
        self, problem: Problem, block: NDArray[np.int32], start: NDArray[np.float32], room: Room, thorough: bool
    ) -> None:
        self.problem, self.block, self.room, self.thorough = problem, np.ascontiguousarray(block), room, thorough
        self.kept = np.isfinite(start)
        self.blocks = int(block.max(initial=0)) + 1
        few = len(problem.cluster) or not thorough
        at = start[self.kept][:1]
        pooled = problem.confidences[self.kept] if few and self.kept.any() else problem.confidences
        self.grid = np.unique(np.concatenate([grid_of(pooled, FEWER_STEPS if few else STEPS), at]))
        self.levels = levels_of(problem.confidences, self.grid)
        first = int(np.searchsorted(self.grid, at)[0]) if len(at) else self.never
        self.indices = np.full(self.blocks, first, np.int64)
        self.cost = self.value(self.indices, self.kept)[0]

    @property
    def never(self) -> int:
        """The index of a threshold that no sample reaches."""
        return len(self.grid)

    def thresholds(self) -> NDArray[np.float32]:
        """Of each block."""
        return np.append(self.grid, np.float32(np.inf))[self.indices]

    def value(self, indices: Ints, kept: NDArray[np.bool_]) -> tuple[float, float]:
        """Cost with toll, and the most by which a limit is exceeded."""
        if not kept.any():
            return float(self.problem.backbone[-1]), -float(self.problem.limits.min())
        cost, over = tied_value(self.problem, self.levels, self.block, np.flatnonzero(kept), indices, self.never)
        return float(cost) + kept.sum() * self.room.toll, float(over)

    def keep(self, indices: Ints, kept: NDArray[np.bool_]) -> bool:
        """Whether these keep the limits; the best from now on if they are cheaper as well."""
        cost, over = self.value(indices, kept)
        within = bool(keeps(over))
        if within and cost < self.cost:
            self.indices, self.kept, self.cost = indices, kept, cost
        return within

    def descend(self, start: Ints, kept: NDArray[np.bool_], price: float = CONSTRAINED) -> Ints:
        """The local optimum at a price or under the limits."""
        return descend_blocks(
            self.problem, self.levels, self.block, np.flatnonzero(kept), start, self.never, price, self.thorough
        )

    def widely(self) -> None:
        """Search from the start; then from changes to the best found; then with other exits."""
        if self.blocks == 1 or not self.kept.any():
            return
        price = self.bisect()
        random = np.random.default_rng(0)
        for _ in range(KICKS if self.thorough else 0):
            kicked = self.indices.copy()
            moved = random.choice(self.blocks, min(self.blocks, 3), replace=False)
            kicked[moved] = random.integers(0, self.never + 1, len(moved))
            at = self.descend(kicked, self.kept, price)
            self.keep(at, self.kept)
            self.keep(self.descend(at, self.kept), self.kept)
        while self._exchange(price):
            pass

    def bisect(self) -> float:
        """Descend at prices of a loss, towards the lowest with which the limits are kept, which is returned, and from
        each of them under the limits.
        """
        network = float(self.problem.backbone[-1])
        low, high = 1e-1 * network, 1e3 * network
        at = self.indices
        for _ in range(BISECTIONS if self.thorough else FEWER_BISECTIONS):
            middle = math.sqrt(low * high)
            at = self.descend(at, self.kept, middle)
            within = self.keep(at, self.kept)
            self.keep(self.descend(at, self.kept), self.kept)
            low, high = (low, middle) if within else (middle, high)
        return high

    def _exchange(self, price: float) -> bool:
        """Drop or add one exit where that pays; whether it did."""
        before = self.cost
        for other in self._neighbours():
            starts = [self.indices]
            if self.thorough:
                starts += [self.descend(self.indices, other, price * factor) for factor in (0.7, 1.0, 1.4)]
            for start in starts:
                self.keep(self.descend(start, other), other)
        return self.cost < before

    def _neighbours(self) -> Iterable[NDArray[np.bool_]]:
        for k in range(len(self.kept)):
            other = self.kept.copy()
            other[k] = not other[k]
            heads = float(self.problem.head[other].sum())
            if 0 < other.sum() <= self.room.exits and heads <= self.room.heads and (self.thorough or not other[k]):
                yield other


@compiled
def sweep_block(
    problem: Problem,
    levels: NDArray[np.int32],
    block: NDArray[np.int32],
    kept: Ints,
    indices: Ints,
    b: int,
    never: int,
) -> Tally:
    """The sums for each index 0 .. never of block b, the other blocks at `indices`.

    As in `shared.sweep`, but an exit of another block stops the samples that it fires for at all indices that have not
    stopped them before.
    """
    n = levels.shape[1]
    last = len(problem.head)
    sums = tally(problem, never + 2)
    for s in range(n):
        reached = 0
        heads = 0.0
        for k in kept:
            heads += problem.head[k]
            level = levels[k, s]
            if block[k, s] != b:
                if level <= indices[block[k, s]]:
                    continue
                level = never + 1
            if level > reached:
                macs = problem.share[s] * (problem.backbone[k] + heads)
                sums.cost[reached] += macs
                sums.cost[level] -= macs
                if problem.lost[k, s] != 0:
                    lose(problem, sums, reached, s, k, 1)
                    lose(problem, sums, level, s, k, -1)
                reached = level
                if reached > never:
                    break
        if reached <= never:
            sums.cost[reached] += problem.share[s] * (problem.backbone[last] + heads)
    for i in range(1, never + 1):
        add(sums, i, sums, i - 1)
    return sums


@compiled
def tied_value(
    problem: Problem,
    levels: NDArray[np.int32],
    block: NDArray[np.int32],
    kept: Ints,
    indices: Ints,
    never: int,
) -> tuple[float, float]:
    """Mean cost with the blocks at `indices`, and the most by which a limit is exceeded."""
    sums = tally(problem, 1)
    last = len(problem.head)
    for s in range(levels.shape[1]):
        heads = 0.0
        stop = last
        for k in kept:
            heads += problem.head[k]
            if levels[k, s] > indices[block[k, s]]:
                stop = k
                break
        sums.cost[0] += problem.share[s] * (problem.backbone[stop] + heads)
        lose(problem, sums, 0, s, stop, 1)
    return sums.cost[0], excess(problem, sums, 0)


@compiled
def descend_blocks(
    problem: Problem,
    levels: NDArray[np.int32],
    block: NDArray[np.int32],
    kept: Ints,
    start: Ints,
    never: int,
    price: float,
    thorough: bool,
) -> Ints:
    """The local optimum that one block's best index at a time leads to; not `thorough`: after two rounds at most."""
    indices = start.copy()
    smallest = 1e-9 * problem.backbone[-1]
    ceiling = problem.backbone[-1] + problem.head.sum() + problem.worth.sum()
    last = np.inf
    rounds = 0
    while True:
        score = last
        for b in range(len(indices)):
            sums = sweep_block(problem, levels, block, kept, indices, b, never)
            score = np.inf
            allowed = False
            for i in range(never, -1, -1):
                # of equal ones the highest threshold
                if price < 0 and allowed and (sums.cost[i] >= score or not may_keep(problem, sums, i)):
                    continue
                over = excess(problem, sums, i)
                new = score_of(sums.cost[i], over, price, ceiling)
                allowed = allowed or keeps(over)
                if new < score:
                    score = new
                    indices[b] = i
        rounds += 1
        if not score < last - smallest or (rounds == 2 and not thorough):
            return indices
        last = score
