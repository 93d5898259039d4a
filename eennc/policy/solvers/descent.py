"""Coordinate descent from many starts, with iterated local search: for many exits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eennc.policy.compiled import compiled
from eennc.policy.solvers.per_exit import Grids, best_of_exit, policy_value
from eennc.policy.solvers.problem import Problem
from eennc.policy.table import Floats, Ints

RANDOM_STARTS = 20
KICKS = 30
"""Perturbations of the best found, each followed by a descent."""


def solve_descent(problem: Problem, grids: Grids, starts: Sequence[Ints], seed: int) -> Ints:
    """Indices [K] into the grids: the best that coordinate descent finds from never-exit, all-at-the-first, the given
    `starts`, and random ones; then from perturbations of the best.

    One exit's threshold at a time goes to its best value, the others fixed; then pairs do, one a step up or down and
    the other to its best. Never worse than never-exit or a start that keeps the limit.
    """
    if not problem.exits:
        return np.empty(0, np.int64)
    random = np.random.default_rng(seed)
    never = grids.thresholds.shape[1] - 1
    first = grids.never
    first[0] = 0
    begun = [grids.never, first, *starts]
    begun += [random.integers(0, never + 1, problem.exits) for _ in range(RANDOM_STARTS)]
    rest = (
        grids.levels,
        problem.regret,
        problem.share,
        problem.backbone,
        problem.head,
        problem.clusters,
        problem.limit,
        problem.bound,
        problem.least,
        never,
    )
    best, best_cost = grids.never, float(problem.backbone[-1])
    for start in begun:
        found, cost = _descend(start.astype(np.int64), *rest)
        if cost < best_cost:
            best, best_cost = found, cost
    for _ in range(KICKS):
        kicked = best.copy()
        chosen = random.choice(problem.exits, min(problem.exits, 3), replace=False)
        kicked[chosen] = random.integers(0, never + 1, len(chosen))
        found, cost = _descend(kicked, *rest)
        if cost < best_cost:
            best, best_cost = found, cost
    return best


@compiled
def _descend(
    start: Ints,
    levels: Ints,
    regret: Floats,
    share: Floats,
    backbone: Floats,
    head: Floats,
    clusters: Ints,
    limit: float,
    bound: float,
    least: float,
    never: int,
) -> tuple[Ints, float]:
    """A local optimum and its cost; inf where the descent finds nothing that keeps the limit."""
    exits = levels.shape[0]
    indices = start.copy()
    cost, value = policy_value(indices, levels, regret, share, backbone, head, clusters, bound, least, never)
    if value > limit + 1e-9:
        cost = np.inf
    while True:
        moved = False
        for k in range(exits):
            index, new_cost, new_value = best_of_exit(
                k, indices, levels, regret, share, backbone, head, clusters, limit, bound, least, never
            )
            # first get the loss under the limit, then the cost down
            if new_cost < cost - 1e-9 or (np.isinf(cost) and np.isinf(new_cost) and new_value < value - 1e-12):
                indices[k] = index
                cost, value = new_cost, new_value
                moved = True
        if moved:
            continue
        if np.isinf(cost):
            return indices, cost
        for k in range(exits):
            old = indices[k]
            for step in (-1, 1):
                if moved or old + step < 0 or old + step > never:
                    continue
                indices[k] = old + step
                for j in range(exits):
                    if j == k:
                        continue
                    index, new_cost, new_value = best_of_exit(
                        j, indices, levels, regret, share, backbone, head, clusters, limit, bound, least, never
                    )
                    if new_cost < cost - 1e-9:
                        indices[j] = index
                        cost, value = new_cost, new_value
                        moved = True
                        break
                if not moved:
                    indices[k] = old
            if moved:
                break
        if not moved:
            return indices, cost
