"""Thresholds of exits whose rule is `patience`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.ir.rules import Agreement, agreement
from eennc.policy.achieved import best
from eennc.policy.goal import Goal
from eennc.policy.table import Costs, Policy, ScoreTable
from eennc.support.diagnostics import UserError


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


def solve_patience(table: PatienceTable, costs: Costs, goal: Goal, max_exits: int | None = None) -> Policy:
    """The policy of least mean MACs on `table` that keeps the goal's limits: one patience for the first exits of the
    network, of which as many stay as pay. An exit that stays before one that goes keeps its run; so no exit is taken
    from between others, and the first ones, too early to fire, stay to be counted.

    Raises UserError where no patience reaches the goal.
    """
    most = table.exits if max_exits is None else min(max_exits, table.exits)
    if not goal.gains:
        table = dataclasses.replace(table, gains=False)
    several = (_policy(patience, stay, table.exits) for stay in range(1, most + 1) for patience in range(1, stay + 1))
    found = best([_policy(0, 0, table.exits), *several], table, costs, goal)
    if found is None:
        raise UserError("no patience reaches the goal", hint="allow more loss or more MACs, or take another rule")
    return found


def _policy(patience: int, stay: int, exits: int) -> Policy:
    thresholds = (float(patience),) * stay + (math.inf,) * (exits - stay)
    return Policy(thresholds, (1.0,) * exits, "patience", "patience" if stay else "none", shared=True)
