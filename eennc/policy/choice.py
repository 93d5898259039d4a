"""What is known of the families of thresholds, and which one is taken."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from eennc.policy.goal import Goal
from eennc.policy.statistics import Loss

Family = Literal["shared", "grouped", "per-exit", "per-class"]
FAMILIES: tuple[Family, ...] = ("shared", "grouped", "per-exit", "per-class")


@dataclass(frozen=True)
class FamilyRow:
    """A family on samples that had no part in choosing its thresholds, all folds together.

    lowered: by how much its limits were lowered, as a share, so that it loses no more than one shared threshold. loss:
    in the goal's metric, with its interval. saved: share of the base network's MACs.
    """

    family: Family
    lowered: float
    loss: Loss
    saved: float


@dataclass(frozen=True)
class FamilyChoice:
    """The family to take, and how far its limits are to be lowered.

    expected: what to expect of new data, None where there were no folds. rows: the families as they were compared.
    folds: how many; grouped: whether of whole groups. why: in words.
    """

    family: Family
    lowered: float
    expected: FamilyRow | None
    rows: tuple[FamilyRow, ...]
    folds: int
    grouped: bool
    why: str

    def goal(self, goal: Goal) -> Goal:
        """The goal with the limits lowered."""
        return lowered(goal, self.lowered)


def lowered(goal: Goal, by: float) -> Goal:
    """The goal with every limit on losses lowered, down to 0."""
    more = tuple(dataclasses.replace(one, limit=max(one.limit - by, 0.0)) for one in goal.more)
    return dataclasses.replace(goal, limit=None if goal.limit is None else max(goal.limit - by, 0.0), more=more)
