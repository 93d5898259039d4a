"""What is known of the families of thresholds, and which one is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eennc.policy.statistics import Loss

Family = Literal["shared", "grouped", "per-exit", "per-class"]
FAMILIES: tuple[Family, ...] = ("shared", "grouped", "per-exit", "per-class")


@dataclass(frozen=True)
class FamilyRow:
    """A family on samples that had no part in choosing its thresholds, all folds together.

    loss: in the goal's metric, with its interval. saved: share of the base network's MACs.
    """

    family: Family
    loss: Loss
    saved: float


@dataclass(frozen=True)
class FamilyChoice:
    """The family to take.

    expected: what to expect of new data, None where there were no folds. rows: the families as they were compared.
    folds: how many; grouped: whether of whole groups. why: in words.
    """

    family: Family
    expected: FamilyRow | None
    rows: tuple[FamilyRow, ...]
    folds: int
    grouped: bool
    why: str
