"""What is known of the families of thresholds, and which one is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eennc.policy.goal import Goal
from eennc.policy.statistics import Loss

Family = Literal["shared", "grouped", "per-exit", "per-class"]
FAMILIES: tuple[Family, ...] = ("shared", "grouped", "per-exit", "per-class")


@dataclass(frozen=True)
class FamilyRow:
    """A family on samples that had no part in choosing its thresholds, all folds together.

    loss: in the goal's metric, with its interval. saved: share of the base network's cost. share: of the limits, to
    which samples lost may come where thresholds are chosen, so that the samples left out keep the limits
    (`Goal.losing`); 1 where that was not asked for, None where none is small enough, and no exit stays.
    """

    family: Family
    loss: Loss
    saved: float
    share: float | None = 1.0


@dataclass(frozen=True)
class FamilyChoice:
    """The family to take.

    expected: what to expect of new data, None where there were no folds. rows: the families as they were compared.
    folds: how many; grouped: whether of whole groups. why: in words. share: as of the family's row.
    """

    family: Family
    expected: FamilyRow | None
    rows: tuple[FamilyRow, ...]
    folds: int
    grouped: bool
    why: str
    share: float | None = 1.0

    def goal(self, asked: Goal) -> Goal:
        """What thresholds are chosen for, so that new samples reach what is asked for."""
        return asked.losing(self.share or 0.0) if asked.held_out and self.rows else asked
