"""How many samples thresholds may lose, so that those which had no part in choosing them keep the limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from eennc.policy.choice import Family
from eennc.policy.folds import OutOfFold
from eennc.policy.goal import Goal
from eennc.policy.statistics import SLACK, limit_rows, paired_loss, upper_bound
from eennc.policy.table import Costs, Floats, ScoreTable

SHARES = (8.0, 5.6, 4.0, 2.8, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.12, 0.0)
"""Of the limits, to which samples lost may come where thresholds are chosen, gains not counted: what makes up for them
on the samples that choose does so by luck, more often than not."""
CHANCE = 0.05
"""That the samples left out keep a limit which new data break, whichever family is taken."""
DRAWS = 20_000
"""Of correlated normal variables."""


class HeldOut:
    """Families out of fold, chosen with losses of samples up to a share of the limits (`Goal.losing`).

    of(family, goal): a family out of fold. What is found is kept.
    """

    def __init__(self, table: ScoreTable, costs: Costs, goal: Goal, of: Callable[[Family, Goal], OutOfFold]) -> None:
        self.table, self.costs, self.goal, self.of = table, costs, goal, of
        self.found: dict[tuple[Family, float], OutOfFold] = {}
        self.chances: dict[tuple[tuple[Family, ...], int], float] = {}
        self.losses = [
            (one.limit, weights, strata) for one in goal.limits for weights, strata in limit_rows(table, one.metric)
        ]

    def under(self, family: Family, share: float) -> OutOfFold:
        """A family out of fold, chosen with losses up to a share of the limits."""
        if (family, share) not in self.found:
            self.found[family, share] = self.of(family, self.goal.losing(share))
        return self.found[family, share]

    def kept(self, family: Family, among: Sequence[Family]) -> tuple[float | None, OutOfFold]:
        """A family out of fold, and the largest share with which the samples left out keep the limits, where the best
        of `among` is taken; None, and the whole network, where none is small enough.

        Of the shares half are ruled out at a time, as a smaller one loses less.
        """
        low, high = 0, len(SHARES)
        while low < high:
            middle = (low + high) // 2
            if self.keeps(self.under(family, SHARES[middle]), among):
                high = middle
            else:
                low = middle + 1
        if high < len(SHARES):
            return SHARES[high], self.under(family, SHARES[high])
        base = np.full(len(self.table), self.costs.backbone[-1], np.int64)
        return None, OutOfFold(self.table.correct[-1], base)

    def keeps(self, found: OutOfFold, among: Sequence[Family]) -> bool:
        """Whether upper bounds of the losses, gains counted, keep all limits where the best of these families is taken.

        What a family loses by chance of the samples differs from one to the next, and is bounded for all of them
        together; what a group does to the network, it does to all families much alike.
        """
        base = self.table.correct[-1]
        for number, (limit, weights, strata) in enumerate(self.losses):
            key = tuple(among), number
            if key not in self.chances:
                self.chances[key] = self.chance(among, weights)
            grouped = paired_loss(base, found.correct, weights, self.table.groups, strata)
            alone = upper_bound(paired_loss(base, found.correct, weights), weights, self.chances[key])
            if max(grouped.upper95, alone) > limit + SLACK:
                return False
        return True

    def chance(self, among: Sequence[Family], weights: Floats) -> float:
        """That a bound of each family may be wrong with, so that of all together one is with `CHANCE`: where families
        lose on the same samples, more than a part of it (the largest of correlated normal variables, Hothorn, Bretz and
        Westfall 2008). weights: float64 [n], what the samples count in the loss.
        """
        if len(among) == 1:
            return CHANCE
        base = self.table.correct[-1].astype(np.float64)
        middle = SHARES[len(SHARES) // 2]
        parts = np.stack([weights * (base - self.under(one, middle).correct) for one in among])
        together = parts @ parts.T
        errors = np.sqrt(np.diag(together))
        # a family that loses and gains nothing is no risk
        values, vectors = np.linalg.eigh(together / np.maximum(np.outer(errors, errors), 1e-300))
        drawn = np.random.default_rng(0).standard_normal((DRAWS, len(among)))
        largest = (drawn * np.sqrt(np.maximum(values, 0)) @ vectors.T).max(axis=1)
        return math.erfc(float(np.quantile(largest, 1 - CHANCE)) / math.sqrt(2)) / 2
