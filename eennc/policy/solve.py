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
from eennc.support.diagnostics import UserError

Family = Literal["shared", "per-exit"]
Solver = Literal["auto", "exact", "descent", "independent"]

EXACT_WORK = 5e8
"""Steps up to which `auto` takes the exact solver, its bounds not counted on; a second or two."""
MOST_EXACT_WORK = 1e11
"""Steps beyond which the exact solver is refused; some minutes."""


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
    min_gain: float = 0.0,
    seed: int = 0,
    fitted: tuple[float, ...] | None = None,
    thorough: bool = True,
) -> Policy:
    """The policy of least mean MACs on `table` whose loss keeps `limit`; at most `max_exits` exits stay.

    `shared`: one threshold on temperature-scaled confidence and the best set of exits, each of which saves at least
    the share `min_gain` of the whole network's MACs. `per-exit`: a threshold per exit
    on a grid of `steps`; of more exits than `max_exits` those that a shared threshold would keep. `solver` is for the
    latter; `independent` is the paper's method, without temperatures, and may break the limit. `fitted`: temperatures
    that are known already; not `thorough` makes searches faster and a little worse. Never-exit keeps every limit, so
    there always is an answer. Raises UserError where the exact solver is asked for and would take minutes.
    """
    paper = solver == "independent"
    if paper and table.rule != "max_probability":
        raise UserError(
            f"the paper's method has a grid of probabilities, and the exits' rule is {table.rule}",
            hint="take another solver, or rule: max_probability",
        )
    if fitted is None:
        fitted = (1.0,) * table.exits if paper else temperatures(table)
    given = problem(table, costs, fitted, limit, metric, statistic)
    if not table.exits:
        return Policy((), (), table.rule, "none")
    if family == "shared" and not paper:
        found = solve_shared(given, max_exits, thorough, min_gain)
        return Policy(found, fitted, table.rule, "shared", shared=True)
    kept = np.arange(table.exits)
    if max_exits is not None and max_exits < table.exits:
        kept = np.flatnonzero(np.isfinite(solve_shared(given, max_exits, thorough)))
    thresholds = np.full(table.exits, np.inf)
    name = "independent" if paper else "none"
    if paper and len(kept):
        thresholds[kept] = solve_independent(given.only(kept), table.classes)
    elif len(kept):
        name, thresholds[kept] = _per_exit(given.only(kept), table.classes, solver, steps, seed, thorough)
    return Policy(tuple(float(t) for t in thresholds), fitted, table.rule, name)


def _per_exit(
    given: Problem, classes: int, solver: Solver, steps: int, seed: int, thorough: bool
) -> tuple[str, tuple[float, ...]]:
    simpler = solve_shared(given, thorough=thorough), solve_independent(given, classes)
    prepared = grids(given, steps, *simpler)
    work = _exact_work(given, prepared.never)
    if solver == "exact" and work > MOST_EXACT_WORK:
        raise UserError(
            f"the exact solver would take too long for {given.exits} exits with {steps} thresholds each",
            hint="take solver: descent, or lower steps or max_exits",
        )
    if solver == "exact" or (solver == "auto" and work <= EXACT_WORK):
        return "exact", prepared.values(solve_exact(given, prepared))
    starts = [prepared.indices(thresholds) for thresholds in simpler]
    return "descent", prepared.values(solve_descent(given, prepared, starts, seed, thorough))


def _exact_work(given: Problem, thresholds: int) -> float:
    samples = given.confidences.shape[1]
    leaves = float(thresholds) ** max(given.exits - 2, 0)
    # with clusters there are no tables of the bound, so outcomes are evaluated one by one
    per_leaf = thresholds**2 * samples / 10 if len(given.cluster) else thresholds**2 + samples
    return leaves * per_leaf
