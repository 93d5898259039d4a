"""The optimum on a grid by branch and bound, or how far the best found can be from it: for more exits."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eennc.policy.solvers.per_exit import Grids, policy_value
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.solvers.relaxation import Linear, ascend, tighten
from eennc.policy.statistics import SLACK
from eennc.policy.table import Ints

ROOT_STEPS = 1500
STEPS = 250
"""Steps of an ascent: at a root, and from the multipliers of the box that a box was cut from."""
RATIO, FINEST = 4.0, 1.1
"""Between the ends of a stretch of standard errors, on which a chord takes the place of the square root: at first, and
where it is good enough."""
FIRST_PRICE = 3.0
"""Of a unit of loss, in networks."""


@dataclass(frozen=True)
class Bounded:
    """The cheapest policy known and a lower bound on what any policy that keeps the limit costs, in MACs per sample."""

    indices: Ints
    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """How much less the optimum can cost, as a share of `cost`."""
        return max(1 - self.bound / self.cost, 0.0) if self.cost > 0 else 0.0


@dataclass(frozen=True)
class _Box:
    """Policies with indices in [low, high], and whose root of the sum of squared regrets lies in `roots`."""

    roots: tuple[float, float]
    low: Ints
    high: Ints
    multipliers: NDArray[np.float32]
    price: float
    bound: float
    strayed: NDArray[np.float64]
    centre: NDArray[np.float64]


def solve_branching(problem: Problem, grids: Grids, start: Ints, boxes: int, tolerance: float = 1e-6) -> Bounded:
    """Cut the box of all policies into smaller ones until those that are left cannot hold a policy cheaper than the
    best found by more than the share `tolerance`, or `boxes` have been bounded. `start` [K] keeps the limit.

    Of the open boxes the one with the lowest bound is cut, across the exit whose threshold strayed most in its ascent.
    Bounds look at the first limit alone. Needs two exits or more.
    """
    levels, never = grids.levels, grids.never
    network = float(problem.backbone[-1])
    best = start.copy()
    cost = float(policy_value(problem, levels, never, best)[0]) / network
    least = 1.0  # policies without any exit keep every limit, and cost this
    heap: list[tuple[float, int, _Box]] = []
    number = 0

    def bounded(box: _Box, steps: int) -> None:
        nonlocal best, cost, least, number
        multipliers, met = box.multipliers.copy(), best.copy()
        low, high = box.low.copy(), box.high.copy()
        linear = _linear(problem, box.roots)
        target = cost * (1 - tolerance)
        bound, price, found, strayed, centre = ascend(
            problem, linear, levels, never, low, high, multipliers, box.price, target, steps, met
        )
        bound = max(bound, box.bound)
        if found < cost:
            best, cost = met, found
        number += 1
        target = cost * (1 - tolerance)
        if bound >= target:
            least = min(least, bound)
            return
        if (low == high).all():
            alone, over = policy_value(problem, levels, never, low)
            if keeps(over) and alone / network < cost:
                best, cost = low, float(alone) / network
            return
        tighten(linear, levels, never, low, high, multipliers, price, target)
        heapq.heappush(heap, (bound, number, _Box(box.roots, low, high, multipliers, price, bound, strayed, centre)))

    nothing = np.zeros(problem.exits)
    for roots in _stretches(problem):
        low, high = np.zeros(problem.exits, np.int64), np.full(problem.exits, never)
        multipliers = np.zeros((levels.shape[1], problem.exits - 1, 9), np.float32)
        price = FIRST_PRICE if problem.limits[0] < 1 else 0.0
        bounded(_Box(roots, low, high, multipliers, price, -math.inf, nothing, nothing), ROOT_STEPS)
    while heap and heap[0][0] < cost * (1 - tolerance) and number < boxes:
        for half in _halves(heapq.heappop(heap)[2]):
            bounded(half, STEPS)
    left = heap[0][0] if heap else math.inf
    return Bounded(best, cost * network, min(least, left, cost) * network)


def _coarse(roots: tuple[float, float]) -> bool:
    return roots[0] > 0 and roots[1] > FINEST * roots[0]


def _halves(box: _Box) -> tuple[_Box, _Box]:
    if _coarse(box.roots):
        middle = math.sqrt(box.roots[0] * box.roots[1])
        return replace(box, roots=(box.roots[0], middle)), replace(box, roots=(middle, box.roots[1]))
    width = box.high - box.low
    exit = int(np.argmax(np.where(width > 0, box.strayed + 1e-3 * width, -1)))
    at = int(np.clip(math.floor(box.centre[exit]), box.low[exit], box.high[exit] - 1))
    lower, upper = box.high.copy(), box.low.copy()
    lower[exit], upper[exit] = at, at + 1
    return replace(box, high=lower), replace(box, low=upper)


def _stretches(problem: Problem) -> list[tuple[float, float]]:
    """Stretches of the root of the sum of squared regrets, one of which holds each policy that keeps the limit."""
    bound = problem.bounds[0]
    if bound == 0 or problem.limits[0] >= 1:
        return [(0.0, math.inf)]
    widest = (problem.limits[0] + SLACK - (problem.weights[0] * problem.lost).min(axis=0).sum()) / bound
    found = [(0.0, float(problem.least[0] / bound))]
    while found[-1][1] < widest:
        found.append((found[-1][1], RATIO * found[-1][1]))
    return found


def _linear(problem: Problem, roots: tuple[float, float]) -> Linear:
    """A linear limit, kept by every policy with its root of squares in `roots` that keeps the problem's first limit.

    A bound adds a multiple of the root, at least `least` (clusters only add to it); the chord over the stretch of the
    squares lies below the root.
    """
    network = problem.backbone[-1]
    worth = problem.worth * problem.lost / network
    costs = worth, problem.share, problem.backbone / network, problem.head / network
    regret = problem.weights[0] * problem.lost
    limit = problem.limits[0] + SLACK
    if problem.limits[0] >= 1:
        return Linear(np.zeros_like(regret), *costs, limit)
    begin, end = roots
    if begin == 0:
        return Linear(regret, *costs, limit - problem.least[0])
    slope = problem.bounds[0] / (begin + end)
    return Linear(regret + slope * regret**2, *costs, limit - slope * begin * end)
