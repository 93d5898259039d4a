"""Chooses a policy for a score table: temperatures, then thresholds."""

from __future__ import annotations

from typing import Literal

import numpy as np

from eennc.policy.calibration import temperatures
from eennc.policy.solvers.branch import Bounded, solve_branching
from eennc.policy.solvers.descent import solve_descent
from eennc.policy.solvers.independent import solve_independent
from eennc.policy.solvers.per_exit import grids
from eennc.policy.solvers.problem import Problem, problem
from eennc.policy.solvers.shared import solve_shared
from eennc.policy.statistics import Metric, Statistic
from eennc.policy.table import Costs, Policy, ScoreTable
from eennc.support.diagnostics import UserError

Family = Literal["shared", "per-exit"]
Solver = Literal["auto", "exact", "descent", "independent"]

BOUND_STEPS = 2500
"""Steps of the ascent that bounds the answer for 10 exits and 5,000 samples; for larger tables fewer in proportion."""
BOUND_WORK = 1.25e8
"""Exits * samples * steps of an ascent; some seconds."""
LEAST_STEPS = 100
"""With fewer a bound says nothing, and none is made."""
BOXES = 4
"""Boxes that `auto` looks at."""
MOST_BOXES = 300
"""Boxes that the exact solver looks at before it gives up; some minutes for 5,000 samples."""


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
    there always is an answer. `auto` proves the optimum, or how far it can be, where the table is small
    enough. Raises UserError where the exact solver is asked for and does not end in minutes.
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
    proven: Bounded | None = None
    if paper and len(kept):
        thresholds[kept] = solve_independent(given.only(kept), table.classes)
    elif len(kept):
        name, thresholds[kept], proven = _per_exit(given.only(kept), table.classes, solver, steps, seed, thorough)
    gap, grid_gap = (None, None) if proven is None else (proven.gap, proven.grid_gap)
    return Policy(tuple(float(t) for t in thresholds), fitted, table.rule, name, gap=gap, grid_gap=grid_gap)


def _per_exit(
    given: Problem, classes: int, solver: Solver, steps: int, seed: int, thorough: bool
) -> tuple[str, tuple[float, ...], Bounded | None]:
    """Which solver, thresholds [K], and what is proven of them."""
    simpler = solve_shared(given, thorough=thorough), solve_independent(given, classes)
    prepared = grids(given, steps, *simpler)
    starts = [prepared.indices(thresholds) for thresholds in simpler]
    found = solve_descent(given, prepared, starts, seed, thorough)
    ascent = int(min(BOUND_STEPS, BOUND_WORK / given.confidences.size))
    exact = solver == "exact"
    if solver == "descent" or not (exact or (thorough and ascent >= LEAST_STEPS)):
        return "descent", prepared.values(found), None
    proven = solve_branching(given, prepared, found, MOST_BOXES if exact else BOXES, max(ascent, LEAST_STEPS))
    if exact and proven.gap > 0:
        raise UserError(
            f"the exact solver does not end in time for {given.exits} exits with {steps} thresholds each: "
            f"the best found may cost {proven.gap:.2%} more than the optimum",
            hint="take solver: auto, which says how far from the optimum it can be, or lower steps or max_exits",
        )
    return "exact" if proven.gap == 0 else "branch", prepared.values(proven.indices), proven
