"""Chooses a policy for a score table: temperatures, then thresholds."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eennc.policy.achieved import Achieved, achieved
from eennc.policy.calibration import temperatures
from eennc.policy.choice import Family
from eennc.policy.goal import Goal
from eennc.policy.solvers.branch import ROOT_STEPS, Bounded, solve_branching
from eennc.policy.solvers.descent import solve_descent
from eennc.policy.solvers.independent import solve_independent
from eennc.policy.solvers.per_exit import Grids, grids, policy_value
from eennc.policy.solvers.problem import Problem, problem
from eennc.policy.solvers.shared import solve_shared
from eennc.policy.solvers.tied import FEWEST, Room, solve_grouped, solve_per_class
from eennc.policy.statistics import SLACK, metric_weights, quantiles
from eennc.policy.table import Costs, Floats, Ints, Policy, ScoreTable
from eennc.support.diagnostics import UserError

Solver = Literal["auto", "exact", "descent", "independent"]

BOUND_WORK = 1.25e8
"""Exits * samples * steps of the ascent that bounds an answer, at most; some seconds."""
LEAST_STEPS = 100
"""With fewer a bound says nothing, and none is made."""
BOXES = 10
"""Boxes that `auto` looks at."""
MOST_BOXES = 3000
"""Boxes that the exact solver looks at before it gives up; some minutes for 5,000 samples."""
FINELY = 5e-7
"""How near to the best accuracy a thorough search comes where losses are no multiples of a sample's weight."""
ROUGHLY = 1e-3
"""How near to the best accuracy a search that is not thorough comes, as a share."""


def solve(
    table: ScoreTable,
    costs: Costs,
    goal: Goal,
    *,
    family: Family = "shared",
    solver: Solver = "auto",
    steps: int = 100,
    max_exits: int | None = None,
    min_gain: float = 0.0,
    seed: int = 0,
    fitted: tuple[float, ...] | None = None,
    thorough: bool = True,
    whole: ScoreTable | None = None,
) -> Policy:
    """The policy that reaches `goal` on `table`; at most `max_exits` exits stay.

    `shared`: one threshold on temperature-scaled confidence and the best set of exits, each of which saves at least
    the share `min_gain` of the whole network's MACs. `grouped`: two, one for the first of them and one for the rest.
    `per-class`: one for each class that an exit names, classes with few samples together. `per-exit`: a threshold per
    exit on a grid of `steps`; of more exits than `max_exits`, or than `goal.worst` allows, those that a shared
    threshold would keep; exits that save less than `min_gain` in a first solution are left out of a second, but where
    the optimum is asked for. `solver` is for the latter; `independent` is the paper's method, without temperatures,
    and may break the limit. `fitted`: temperatures that are known already; not `thorough` makes searches faster and a
    little worse. `whole`: the table of which this one is a part that stands for it; bounds are then as wide as there.
    `auto` proves, under at most one limit on the point, how far from the optimum it can be, where the table is small
    enough.

    Raises UserError for a goal that no policy reaches, with the nearest that one does, and where the exact solver is
    asked for and does not end in minutes.
    """
    paper = solver == "independent"
    if paper and table.rule != "max_probability":
        raise UserError(
            f"the paper's method has a grid of probabilities, and the exits' rule is {table.rule}",
            hint="take another solver, or rule: max_probability",
        )
    if fitted is None:
        fitted = (1.0,) * table.exits if paper else temperatures(table)
    if not goal.gains:
        table = dataclasses.replace(table, gains=False)
    how = _How(table, costs, family, solver, steps, max_exits, min_gain, seed, fitted, thorough, whole)
    if goal.objective == "best-accuracy":
        return how.most_accurate(goal)
    found = how.cheapest(goal)
    how.check(goal, found)
    return found


@dataclass(frozen=True)
class _How:
    """A table, and how policies are looked for on it."""

    table: ScoreTable
    costs: Costs
    family: Family
    solver: Solver
    steps: int
    max_exits: int | None
    min_gain: float
    seed: int
    fitted: tuple[float, ...]
    thorough: bool
    whole: ScoreTable | None

    def cheapest(self, goal: Goal) -> Policy:
        """Of least cost under the limits on losses; without exits, which loses nothing, where none keeps them."""
        table, costs = self.table, self.costs
        first, *more = goal.limits
        given = problem(
            table, costs, self.fitted, first.limit, first.metric, first.statistic, more=more, price=goal.price
        )
        if not table.exits:
            return Policy((), (), table.rule, "none")
        if self.whole is not None:
            given = as_wide_as(given, table, self.whole)
        heads = self._most_heads(goal)
        paper = self.solver == "independent"
        if self.family != "per-exit" and not paper:
            found = solve_shared(given, self.max_exits, self.thorough, self.min_gain, heads)
            return self._tied(given, found, heads)
        kept = np.arange(table.exits)
        few = self.max_exits is not None and self.max_exits < table.exits
        if few or costs.head.sum() > heads:
            kept = np.flatnonzero(np.isfinite(solve_shared(given, self.max_exits, self.thorough, most_heads=heads)))
        thresholds = np.full(table.exits, np.inf)
        name = "independent" if paper else "none"
        proven: Bounded | None = None
        if paper and len(kept):
            thresholds[kept] = solve_independent(given.only(kept), table.classes)
        elif len(kept):
            name, thresholds[kept], proven = _per_exit(
                given.only(kept), table.classes, self.solver, self.steps, self.seed, self.thorough, self._least_gain
            )
        gap, grid_gap = (None, None) if proven is None else (proven.gap, proven.grid_gap)
        return Policy(tuple(float(t) for t in thresholds), self.fitted, table.rule, name, gap=gap, grid_gap=grid_gap)

    def _tied(self, given: Problem, shared: tuple[float, ...], heads: float) -> Policy:
        """The policy of a family whose thresholds are tied, from one threshold for all exits."""
        table, fitted = self.table, self.fitted
        most = table.exits if self.max_exits is None else self.max_exits
        room = Room(most, heads, self._least_gain)
        if self.family == "grouped":
            found = solve_grouped(given, shared, room, self.thorough)
            return Policy(found, fitted, table.rule, "grouped")
        if self.family == "per-class":
            # a part of a table has to do with as many classes as the whole
            fewest = FEWEST * (1.0 if self.whole is None else len(table) / len(self.whole))
            named = table.named[:-1]
            rows = solve_per_class(given, named, table.classes, shared, room, self.thorough, fewest)
            least = tuple(min(row) for row in rows)
            return Policy(least, fitted, table.rule, "per-class", shared=True, class_thresholds=rows)
        return Policy(shared, fitted, table.rule, "shared", shared=True)

    def most_accurate(self, goal: Goal) -> Policy:
        """Of the least loss that a mean cost within the budget allows: the least limit under which the cheapest policy
        is that cheap. A limit is halved between what is known to do and what is known not to.
        """
        best = self.cheapest(goal.within(goal.limits[0].limit))
        self.check(goal, best)
        high, low = self._achieved(best, goal).loss, -1.0
        weights = metric_weights(self.table, goal.metric)
        multiples = goal.statistic == "point" and bool((weights == weights[0]).all())
        apart = float(weights[0]) / 2 if multiples else FINELY
        while high - low > (apart if self.thorough else max(apart, ROUGHLY)):
            middle = (low + high) / 2
            found = self.cheapest(goal.within(middle))
            reached = self._achieved(found, dataclasses.replace(goal, limit=middle))
            if reached.keeps(goal):
                best, high = found, min(reached.loss, middle)
            else:
                low = middle
        return best

    def check(self, goal: Goal, found: Policy) -> None:
        """Raises UserError where the cheapest policy under the limits on losses is dearer than the goal allows."""
        reached = self._achieved(found, goal).mean
        if goal.budget is None or reached <= goal.budget + SLACK:
            return
        limits = " and ".join(f"{one.limit:g} ({one.metric}, {one.statistic})" for one in goal.limits if one.limit < 1)
        if limits and goal.share != 1:
            limits += f", {goal.share:g} times the limit, as held-out samples need,"
        hint = f"allow a mean of {reached:.4g}"
        if not limits:
            raise UserError(
                f"no thresholds bring the mean cost to {goal.budget:g} of the network's: the least is {reached:.4g}",
                hint=hint,
            )
        free = Goal(metric=goal.metric, statistic=goal.statistic, objective="best-accuracy", budget=goal.budget)
        if self._achieved(self.cheapest(free.within(1.0)), free).keeps(free):
            least = self._achieved(self.most_accurate(free), free).loss
            hint += f", or a limit on the loss of {least:.4g} ({goal.metric}, {goal.statistic})"
        raise UserError(
            f"no thresholds keep a loss of at most {limits} at a mean cost of {goal.budget:g} of the network's: "
            f"the least is {reached:.4g}",
            hint=hint,
        )

    @property
    def _least_gain(self) -> float:
        """MACs that each exit must save."""
        return self.min_gain * float(self.costs.backbone[-1])

    def _most_heads(self, goal: Goal) -> float:
        """MACs that the heads of a sample which no exit stops may cost."""
        if goal.worst is None:
            return float("inf")
        whole = float(self.costs.backbone[-1])
        if goal.worst < 1:
            raise UserError(
                f"a sample that no exit stops costs the whole network: the worst case cannot be {goal.worst:g} of it",
                hint="the nearest is 1; for less, truncate the network: the report's static cuts say what that loses",
            )
        return (goal.worst - 1) * whole + 1e-6

    def _achieved(self, policy: Policy, goal: Goal) -> Achieved:
        return achieved(self.table, self.costs, policy, goal)


def as_wide_as(given: Problem, table: ScoreTable, whole: ScoreTable) -> Problem:
    """The problem of a part of a table with the bounds of the whole: the quantile that its number of groups asks for,
    and standard errors by as much smaller as it has more samples, or groups.
    """
    part = len(table) / len(whole)
    grouped = whole.groups is not None and len(np.unique(whole.groups)) >= 2
    if grouped and table.groups is not None and whole.groups is not None:
        part = len(np.unique(table.groups)) / len(np.unique(whole.groups))
    one_sided = quantiles(whole.groups)[1] * math.sqrt(part)
    return given._replace(bounds=np.where(given.bounds > 0, one_sided, 0.0), least=given.least * part)


def _per_exit(
    given: Problem, classes: int, solver: Solver, steps: int, seed: int, thorough: bool, least_gain: float
) -> tuple[str, Floats, Bounded | None]:
    """Which solver, thresholds [K], and what is proven of them. Exits that save too little are left out of a second
    solution, but where the optimum is asked for.
    """
    simpler = solve_shared(given, thorough=thorough), solve_independent(given, classes)
    prepared = grids(given, steps, *simpler)
    starts = [prepared.indices(thresholds) for thresholds in simpler]
    found = solve_descent(given, prepared, starts, seed, thorough)
    if least_gain > 0 and solver != "exact":
        stay = _paying(given, prepared, found, least_gain)
        if len(stay) < np.count_nonzero(found < prepared.never):
            thresholds, name, proven = np.full(given.exits, np.inf), "none", None
            if len(stay):
                name, thresholds[stay], proven = _per_exit(
                    given.only(stay), classes, solver, steps, seed, thorough, 0.0
                )
            return name, thresholds, proven
    ascent = int(min(ROOT_STEPS, BOUND_WORK / given.confidences.size))
    exact = solver == "exact" and thorough
    # of a bound's roots there are many, of several limits the proof sees one: it takes long and says little
    simple = len(given.limits) == 1 and not given.bounds.any()
    worth_it = thorough and simple and ascent >= LEAST_STEPS
    if solver == "descent" or not (exact or worth_it):
        return "descent", np.array(prepared.values(found)), None
    proven = solve_branching(given, prepared, found, MOST_BOXES if exact else BOXES, max(ascent, LEAST_STEPS))
    if exact and proven.gap > 0:
        raise UserError(
            f"the exact solver does not end in time for {given.exits} exits with {steps} thresholds each: "
            f"the best found may cost {proven.gap:.2%} more than the optimum",
            hint="take solver: auto, which says how far from the optimum it can be, or lower steps or max_exits",
        )
    return "exact" if proven.gap == 0 else "branch", np.array(prepared.values(proven.indices)), proven


def _paying(given: Problem, prepared: Grids, indices: Ints, least_gain: float) -> Ints:
    """The exits of a policy that stay where those are dropped that save less MACs than this, the one that saves least
    first, and the others keep their thresholds.
    """
    levels, never, exits = prepared.levels, prepared.never, np.arange(given.exits)
    at = indices
    while len(active := np.flatnonzero(at < never)):
        cost = policy_value(given, levels, never, at)[0]
        fewer = [np.where(exits == k, never, at) for k in active]
        costs = [policy_value(given, levels, never, one)[0] for one in fewer]
        if min(costs) - cost >= least_gain:
            break
        at = fewer[int(np.argmin(costs))]
    return active
