"""What a policy achieves towards a goal on a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.statistics import SLACK, limit_rows, loss_of, paired_loss
from eennc.policy.table import Costs, Policy, ScoreTable


@dataclass(frozen=True)
class Achieved:
    """mean, worst: the mean cost and that of a sample which no exit stops, as shares of the base network's. loss: the
    goal's statistic in its metric; point_loss: the loss itself. excess: the most by which a limit on a loss is broken,
    0 or less where all are kept.
    """

    mean: float
    worst: float
    loss: float
    point_loss: float
    excess: float

    def keeps(self, goal: Goal) -> bool:
        """Whether all of the goal's limits are kept."""
        return (
            self.excess <= SLACK
            and (goal.budget is None or self.mean <= goal.budget + SLACK)
            and (goal.worst is None or self.worst <= goal.worst + SLACK)
        )

    def score(self, goal: Goal) -> tuple[float, float]:
        """What the goal's objective makes least; the second where the first is the same."""
        if goal.objective == "best-accuracy":
            return self.loss, self.mean
        return self.mean + goal.price * self.point_loss, self.mean


def achieved(table: ScoreTable, costs: Costs, policy: Policy, goal: Goal) -> Achieved:
    """Evaluate a policy. One without exits loses nothing, for certain."""
    found = evaluate(table, costs, policy)
    base = int(costs.backbone[-1])
    mean = float(table.sample_weights @ found.macs) / base
    worst = int(costs.stopping(policy.active)[-1]) / base
    if not policy.active.any():
        return Achieved(mean, worst, 0.0, 0.0, -min(one.limit for one in goal.limits))
    loss = loss_of(table, found.correct, goal.metric)
    excess = max(
        paired_loss(table.correct[-1], found.correct, row, table.groups, strata).of(one.statistic) - one.limit
        for one in goal.limits
        for row, strata in limit_rows(table, one.metric)
    )
    return Achieved(mean, worst, loss.of(goal.statistic), loss.point, excess)


def best(policies: Iterable[Policy], table: ScoreTable, costs: Costs, goal: Goal) -> Policy | None:
    """The one of `policies` that reaches the goal best, the first of equals; None where none keeps its limits."""
    chosen: tuple[tuple[float, float], Policy] | None = None
    for policy in policies:
        found = achieved(table, costs, policy, goal)
        if found.keeps(goal) and (chosen is None or found.score(goal) < chosen[0]):
            chosen = found.score(goal), policy
    return None if chosen is None else chosen[1]
