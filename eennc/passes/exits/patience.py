"""Thresholds of exits whose rule is `patience`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.ir.rules import Agreement, agreement
from eennc.policy.evaluate import evaluate
from eennc.policy.statistics import SLACK, Metric, Statistic, loss_of
from eennc.policy.table import Costs, Policy, ScoreTable


@dataclass(frozen=True)
class PatienceTable(ScoreTable):
    """A score table whose confidences are runs of agreeing exits, those of the table taken as all there."""

    def confidences(self, temperatures: tuple[float, ...]) -> NDArray[np.float32]:
        """How many exits in a row, up to this one, name its class: float32 [K, n]."""
        before: Agreement | None = None
        rows: list[NDArray[np.float32]] = []
        for scores in self.scores[:-1]:
            before = agreement(scores, before)
            rows.append(before.runs.astype(np.float32))
        return np.stack(rows) if rows else np.empty((0, len(self)), np.float32)


def solve_patience(
    table: PatienceTable,
    costs: Costs,
    *,
    limit: float,
    metric: Metric,
    statistic: Statistic,
    max_exits: int | None = None,
) -> Policy:
    """The policy of least mean MACs on `table` whose loss keeps `limit`: one patience for the first exits of the
    network, of which as many stay as pay. An exit that stays before one that goes keeps its run; so no exit is taken
    from between others, and the first ones, too early to fire, stay to be counted.
    """
    most = table.exits if max_exits is None else min(max_exits, table.exits)
    never = _policy(0, 0, table.exits)
    best, least = never, float(costs.backbone[-1])
    for stay in range(1, most + 1):
        for patience in range(1, stay + 1):
            policy = _policy(patience, stay, table.exits)
            found = evaluate(table, costs, policy)
            macs = float(table.sample_weights @ found.macs)
            if macs < least and loss_of(table, found.correct, metric).of(statistic) <= limit + SLACK:
                best, least = policy, macs
    return best


def _policy(patience: int, stay: int, exits: int) -> Policy:
    thresholds = (float(patience),) * stay + (math.inf,) * (exits - stay)
    return Policy(thresholds, (1.0,) * exits, "patience", "patience" if stay else "none", shared=True)
