"""Chooses a policy for a score table: temperatures, then thresholds."""

from __future__ import annotations

from typing import Literal

import numpy as np

from eennc.policy.calibration import temperatures
from eennc.policy.solvers.descent import solve_descent
from eennc.policy.solvers.exact import solve_exact
from eennc.policy.solvers.independent import solve_independent
from eennc.policy.solvers.per_exit import grids
from eennc.policy.solvers.problem import Problem, problem
from eennc.policy.solvers.shared import solve_shared
from eennc.policy.statistics import Metric, Statistic
from eennc.policy.table import Costs, Policy, ScoreTable

Family = Literal["shared", "per-exit"]
Solver = Literal["auto", "exact", "descent", "independent"]

EXACT_WORK = 2e9
"""Steps (policies times samples) up to which `auto` takes the exact solver; some ten seconds."""


def solve(
    table: ScoreTable,
    costs: Costs,
    *,
    limit: float,
    metric: Metric = "accuracy",
    statistic: Statistic = "point",
    family: Family = "shared",
    solver: Solver = "auto",
    steps: int = 100,
    max_exits: int | None = None,
    seed: int = 0,
) -> Policy:
    """The policy of least mean MACs on `table` whose loss keeps `limit`.

    `shared`: one threshold on temperature-scaled confidence and the best set of exits. `per-exit`: a threshold per exit
    on a grid of `steps`. Never-exit keeps every limit, so there always is an answer.
    """
    fitted = (1.0,) * table.exits if solver == "independent" else temperatures(table)
    given = problem(table, costs, fitted, limit, metric, statistic)
    if not table.exits:
        return Policy((), (), "none")
    if solver == "independent":
        return Policy(solve_independent(given, table.classes), fitted, "independent")
    if family == "shared":
        return Policy(solve_shared(given, max_exits), fitted, "shared")
    name, thresholds = _per_exit(given, solver, steps, seed)
    return Policy(thresholds, fitted, name)


def _per_exit(given: Problem, solver: Solver, steps: int, seed: int) -> tuple[str, tuple[float, ...]]:
    prepared = grids(given, steps)
    work = float(prepared.thresholds.shape[1]) ** (given.exits - 1) * given.confidences.shape[1]
    if solver == "exact" or (solver == "auto" and work <= EXACT_WORK):
        return "exact", prepared.values(solve_exact(given, prepared))
    start = prepared.nearest(solve_shared(given))
    found = solve_descent(given, prepared, [np.minimum(start, prepared.never)], seed)
    return "descent", prepared.values(found)
