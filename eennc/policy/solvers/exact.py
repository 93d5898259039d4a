"""The optimum on a grid, by enumeration: for few exits."""

from __future__ import annotations

import numpy as np

from eennc.policy.compiled import compiled
from eennc.policy.solvers.per_exit import Grids, best_of_exit
from eennc.policy.solvers.problem import Problem
from eennc.policy.table import Floats, Ints


def solve_exact(problem: Problem, grids: Grids) -> Ints:
    """Indices [K] into the grids of the policy with the least mean cost among all that keep the limit.

    All thresholds but the last exit's are enumerated, the last is swept: T^(K - 1) sweeps. Never-exit keeps every
    limit.
    """
    never = grids.thresholds.shape[1] - 1
    if not problem.exits:
        return np.empty(0, np.int64)
    return _enumerate(
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


@compiled
def _enumerate(
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
) -> Ints:
    exits = levels.shape[0]
    indices = np.zeros(exits, np.int64)
    best = np.full(exits, never, np.int64)
    best_cost = backbone[exits]
    while True:
        index, cost, _ = best_of_exit(
            exits - 1, indices, levels, regret, share, backbone, head, clusters, limit, bound, least, never
        )
        if cost < best_cost:
            best_cost = cost
            best[:] = indices
            best[exits - 1] = index
        k = exits - 2
        while k >= 0 and indices[k] == never:
            indices[k] = 0
            k -= 1
        if k < 0:
            return best
        indices[k] += 1
