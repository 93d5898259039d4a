"""The optimum on a grid by branch and bound, or how far the best found can be from it."""

from __future__ import annotations

import heapq
import importlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eennc.policy.solvers.decomposition import Linear, ascend, at_stake, multipliers_of, tighten
from eennc.policy.solvers.off_grid import LARGEST, bound_of_any
from eennc.policy.solvers.per_exit import Grids, grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.solvers.rounds import CONSTRAINED, code, go_round
from eennc.policy.solvers.tree import enumerate_box
from eennc.policy.statistics import SLACK
from eennc.policy.table import Ints

ROOT_STEPS = 300
STEPS = 40
"""Steps of an ascent: at a root, and from the multipliers of the box that a box was cut from."""
PACE = 0.5
"""Of the first steps from there, against Polyak's."""
WORK = 4_000_000
"""Sums that are made to enumerate a block, at most."""
LEAF = 4_000
"""Beginnings, without the last two thresholds, of the policies of a box that is enumerated."""
WIDE = 1e-9
"""What an index of a box's width counts, against networks at stake: where nothing else tells which exit to cut."""
TOLERANCE = 1e-7
"""What a policy must save, as a share of the cost, to count as cheaper."""
RATIO, FINEST = 4.0, 1.1
"""Between the ends of a stretch of standard errors, on which a chord takes the place of the square root: at first, and
where it is good enough."""
FIRST_PRICE = 2.5
PRICES = np.geomspace(0.1, 1e3, 25)
"""Of a unit of loss, in networks: what an ascent begins with, and what limits are compared at."""
COARSE, FINE = 100, 500
"""Thresholds per exit of the grids on which all thresholds are bounded: to find the price, and then."""
DEARER, PRICE_STEPS = 4.0, 12
"""Up to how many times the ascent's price that price is looked for, and in how many steps."""


@dataclass(frozen=True)
class Bounded:
    """The cheapest policy known, a lower bound on what any policy of the grid costs that keeps the limits, and one on
    what any thresholds do, in MACs per sample.
    """

    indices: Ints
    cost: float
    bound: float
    bound_of_any: float

    @property
    def gap(self) -> float:
        """How much less the optimum on the grid can cost at most, as a share of `cost`."""
        return self._below(self.bound)

    @property
    def grid_gap(self) -> float:
        """How much less any thresholds can cost at most, as a share of `cost`."""
        return self._below(self.bound_of_any)

    def _below(self, bound: float) -> float:
        share = 1 - bound / self.cost if self.cost > 0 else 0.0
        return share if share > 10 * TOLERANCE else 0.0


@dataclass(frozen=True)
class _Box:
    """Policies with indices in [low, high], and whose root of the sum of squared regrets lies in `roots`.

    stake, centre: float64 [K], what hangs on each exit's threshold, and its mean index in the ascent.
    """

    roots: tuple[float, float]
    low: Ints
    high: Ints
    cuts: Ints
    multipliers: NDArray[np.float32]
    price: float
    bound: float
    stake: NDArray[np.float64]
    centre: NDArray[np.float64]


def solve_branching(
    problem: Problem, grids: Grids, start: Ints, boxes: int | None = None, root_steps: int = ROOT_STEPS
) -> Bounded:
    """The best policy, proven or not: cut the box of all policies into smaller ones until none is left that can hold
    a policy cheaper than the best found, or `boxes` have been looked at. `start` [K] keeps the limits.

    In each box the bound is raised by an ascent, of `root_steps` steps at first; then its policies are enumerated
    if the bound leaves few enough. Of the open boxes the one with the lowest bound is cut, across the exit on whose
    threshold most hangs that its ascent left open. Bounds look at one limit, the tightest.
    """
    search = _Search(problem, grids, start)
    search.run(boxes, root_steps)
    cost = search.cost * search.network
    return Bounded(
        without_idle(grids.levels, grids.never, search.best),
        cost,
        min(search.bound, search.cost) * search.network,
        min(search.bound_of_any, search.cost) * search.network,
    )


class _Search:
    """The best found so far, `cost` in networks, and the open boxes."""

    def __init__(self, problem: Problem, given: Grids, start: Ints) -> None:
        self.problem, self.levels, self.never = problem, given.levels, given.never
        self.coarse, self.fine = grids(problem, COARSE), grids(problem, FINE)
        self.limit = _tightest(problem)
        self.network = float(problem.backbone[-1])
        self.best = start.copy()
        self.cost = self._cost_of(self.best)
        nothing = np.full(problem.exits, given.never)
        if problem.exits == 1:
            go_round(problem, code(problem, given), self.never, nothing, CONSTRAINED, True)
            if keeps(policy_value(problem, self.levels, self.never, nothing)[1]):
                self.best, self.cost = nothing, self._cost_of(nothing)
        # policies without any exit keep every limit, and cost this
        self.bound = self.bound_of_any = 1.0
        self.heap: list[tuple[float, int, _Box]] = []
        self.number = 0

    def _cost_of(self, indices: Ints) -> float:
        return float(policy_value(self.problem, self.levels, self.never, indices)[0]) / self.network

    def run(self, boxes: int | None, root_steps: int) -> None:
        """Look at boxes."""
        for roots in _stretches(self.problem, self.limit):
            self.root(roots, root_steps)
        while self.heap and self.heap[0][0] < self.cost * (1 - TOLERANCE) and (boxes is None or self.number < boxes):
            for half in _halves(heapq.heappop(self.heap)[2]):
                self.look(half)
        if self.heap:
            self.bound = min(self.bound, self.heap[0][0])

    def root(self, roots: tuple[float, float], steps: int) -> None:
        """Look at the box of all policies, and bound those off the grid."""
        exits = self.problem.exits
        low, high, nothing = np.zeros(exits, np.int64), np.full(exits, self.never), np.zeros(exits)
        cuts = np.append(np.arange(0, exits, LARGEST), exits)
        price = FIRST_PRICE if self.problem.limits[self.limit] < 1 else 0.0
        linear = _linear(self.problem, self.limit, roots)
        multipliers = multipliers_of(linear, self.levels, self.never, self.best, cuts, price)
        box = _Box(roots, low, high, cuts, multipliers.astype(np.float32), price, -math.inf, nothing, nothing)
        box = self.ascend(box, steps, 1.0)
        self.bound_of_any = min(self.bound_of_any, self.bound_off_grid(linear, box))
        self.settle(box)

    def bound_off_grid(self, linear: Linear, box: _Box) -> float:
        """What any thresholds cost at least, at the price at which that is most on a coarse grid."""
        multipliers = box.multipliers.astype(np.float64)

        def bound(price: float, by: Grids) -> float:
            return bound_of_any(linear, by.levels, by.never, box.cuts, multipliers, price)

        price = box.price
        if self.problem.limits[self.limit] < 1:

            def missing(price: float) -> float:
                return -bound(price, self.coarse)

            optimize: Any = importlib.import_module("scipy.optimize")  # slow to import, and without types
            # the ascent ended as soon as the policies of the grid were bounded
            most = DEARER * max(price, FIRST_PRICE)
            found = optimize.minimize_scalar(
                missing, bounds=(0.0, most), method="bounded", options={"maxiter": PRICE_STEPS}
            )
            price = float(found.x)
        return bound(price, self.fine)

    def look(self, box: _Box) -> None:
        """Bound a box that was cut from another."""
        if not self.enumerate(box):
            cuts, multipliers = _merged(box.cuts, box.multipliers, box.high - box.low + 1)
            self.settle(self.ascend(replace(box, cuts=cuts, multipliers=multipliers), STEPS, PACE))

    def ascend(self, box: _Box, steps: int, pace: float) -> _Box:
        """The box with better multipliers."""
        linear = _linear(self.problem, self.limit, box.roots)
        multipliers, met = box.multipliers.astype(np.float64), self.best.copy()
        grown = ascend(
            self.problem, linear, self.levels, self.never, box.low, box.high, box.cuts, multipliers, box.price,
            self.cost, steps, pace, met,
        )  # fmt: skip
        if grown.cost < self.cost:
            self.best, self.cost = met, grown.cost
        return replace(
            box,
            multipliers=multipliers.astype(np.float32),
            price=grown.price,
            stake=at_stake(linear, self.levels, grown.shares, grown.price),
            centre=grown.shares @ np.arange(self.never + 1),
        )

    def settle(self, box: _Box) -> None:
        """Tighten a box, and enumerate it or put it among the open ones."""
        self.number += 1
        linear = _linear(self.problem, self.limit, box.roots)
        low, high, target = box.low.copy(), box.high.copy(), self.cost * (1 - TOLERANCE)
        multipliers = box.multipliers.astype(np.float64)
        bound = tighten(linear, self.levels, self.never, low, high, box.cuts, multipliers, box.price, target)
        box = replace(box, low=low, high=high, bound=max(bound, box.bound))
        if box.bound >= target:
            self.bound = min(self.bound, box.bound)
        elif not self.enumerate(box):
            heapq.heappush(self.heap, (box.bound, self.number, box))

    def enumerate(self, box: _Box) -> bool:
        """Look at all policies of a box; False where they are too many."""
        if self.problem.exits == 1:
            self.bound = self.cost  # the best of all is known from the start
            return True
        if _coarse(box.roots) or math.prod((box.high - box.low + 1)[:-2].tolist()) > LEAF:
            return False
        met = self.best.copy()
        cost = enumerate_box(self.problem, self.levels, self.never, box.low, box.high, TOLERANCE, met)
        if cost / self.network < self.cost:
            self.best, self.cost = met, cost / self.network
        self.bound = min(self.bound, self.cost * (1 - TOLERANCE))
        return True


def _work(widths: list[int], samples: int) -> int:
    """Sums that are made to enumerate a block."""
    return math.prod(widths) + samples * math.prod(widths[:-3])


def _merged(cuts: Ints, multipliers: NDArray[np.float32], widths: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """Neighbouring blocks made one where WORK allows it, the cheapest first."""
    at = cuts.tolist()
    rows = list(range(len(multipliers)))
    samples = multipliers.shape[1]
    while len(at) > 2:
        costs = [_work(widths[at[b] : at[b + 2]].tolist(), samples) for b in range(len(at) - 2)]
        b = int(np.argmin(costs))
        if costs[b] > WORK:
            break
        del at[b + 1], rows[b]
    return np.array(at), multipliers[rows]


def _coarse(roots: tuple[float, float]) -> bool:
    return roots[0] > 0 and roots[1] > FINEST * roots[0]


def _halves(box: _Box) -> tuple[_Box, _Box]:
    if _coarse(box.roots):
        middle = math.sqrt(box.roots[0] * box.roots[1])
        return replace(box, roots=(box.roots[0], middle)), replace(box, roots=(middle, box.roots[1]))
    width = box.high - box.low
    exit = int(np.argmax(np.where(width > 0, box.stake + WIDE * width, -1)))
    at = int(np.clip(math.floor(box.centre[exit]), box.low[exit], box.high[exit] - 1))
    lower, upper = box.high.copy(), box.low.copy()
    lower[exit], upper[exit] = at, at + 1
    return replace(box, high=lower), replace(box, low=upper)


def _tightest(problem: Problem) -> int:
    """The limit under which samples that each stop where that suits them best cost most."""
    if len(problem.limits) == 1:
        return 0
    cost = problem.share * (problem.backbone + np.append(problem.head, 0.0))[:, None] + problem.worth * problem.lost
    bounds: list[tuple[float, int]] = []
    for m, limit in enumerate(problem.limits):
        for price in PRICES * problem.backbone[-1]:
            priced = cost + price * problem.weights[m] * problem.lost
            bounds.append((float(priced.min(axis=0).sum() - price * (limit - problem.least[m])), m))
    return max(bounds)[1]


def _stretches(problem: Problem, m: int) -> list[tuple[float, float]]:
    """Stretches of the root of limit m's sum of squared regrets, one of which holds each policy that keeps it."""
    bound = problem.bounds[m]
    if bound == 0 or problem.limits[m] >= 1:
        return [(0.0, math.inf)]
    widest = (problem.limits[m] + SLACK - (problem.weights[m] * problem.lost).min(axis=0).sum()) / bound
    found = [(0.0, float(problem.least[m] / bound))]
    while found[-1][1] < widest:
        found.append((found[-1][1], RATIO * found[-1][1]))
    return found


def _linear(problem: Problem, m: int, roots: tuple[float, float]) -> Linear:
    """A linear limit, kept by every policy with its root of squares in `roots` that keeps the problem's limit m.

    A bound adds a multiple of the root, at least `least` (clusters only add to it); the chord over the stretch of the
    squares lies below the root.
    """
    network = problem.backbone[-1]
    worth = problem.worth * problem.lost / network
    costs = worth, problem.share, problem.backbone / network, problem.head / network
    regret = problem.weights[m] * problem.lost
    limit = problem.limits[m] + SLACK
    if problem.limits[m] >= 1:
        return Linear(np.zeros_like(regret), *costs, limit)
    begin, end = roots
    if begin == 0:
        return Linear(regret, *costs, limit - problem.least[m])
    slope = problem.bounds[m] / (begin + end)
    return Linear(regret + slope * regret**2, *costs, limit - slope * begin * end)
