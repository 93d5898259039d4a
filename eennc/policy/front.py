"""The Pareto front of cost and loss: what each limit on the loss gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.statistics import NO_LOSS, Loss, Metric, loss_of
from eennc.policy.table import Costs, Policy, ScoreTable, Tables

LIMITS = (0.0, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 1.0)
"""Limits on the loss that the front is made of."""


@dataclass(frozen=True)
class Figures:
    """On one split: the loss in the goal's metric, and the share of the base network's cost that is saved."""

    loss: Loss
    saved: float


@dataclass(frozen=True)
class FrontPoint:
    """The cheapest policy found under a limit, chosen on calibration. exits: how many stay. test: None without that
    split.
    """

    limit: float
    exits: int
    calibration: Figures
    test: Figures | None


def pareto_front(
    tables: Tables,
    goal: Goal,
    solve_for: Callable[[Goal], Policy] | None = None,
    limits: Sequence[float] = LIMITS,
) -> tuple[FrontPoint, ...]:
    """The front on the calibration table, from the most careful point to the cheapest: every point saves more than the
    ones before it. Each is the answer to `goal` with another of the `limits`, the goal's own included, by `solve_for`
    (None: one shared threshold).
    """
    answer = solve_for or _shared(tables)
    own = () if goal.limit is None else (goal.limit,)
    found: list[FrontPoint] = []
    for limit in sorted({*limits, *own}):
        policy = answer(goal.within(limit))
        calibration = figures(tables.calibration, tables.solved, policy, goal.metric)
        if found and calibration.saved <= found[-1].calibration.saved:
            continue
        test = None if tables.test is None else figures(tables.test, tables.solved, policy, goal.metric)
        found.append(FrontPoint(limit, int(policy.active.sum()), calibration, test))
    return tuple(found)


def _shared(tables: Tables) -> Callable[[Goal], Policy]:
    from eennc.policy.solve import solve  # numba is slow to import

    return lambda goal: solve(tables.calibration, tables.solved, goal)


def figures(table: ScoreTable, costs: Costs, policy: Policy, metric: Metric) -> Figures:
    """What a policy does on a split."""
    evaluation = evaluate(table, costs, policy)
    base = int(costs.backbone[-1])
    loss = loss_of(table, evaluation.correct, metric) if policy.active.any() else NO_LOSS
    return Figures(loss, 1 - float(table.sample_weights @ evaluation.macs) / base if base else 0.0)
