"""How far limits are lowered, so that samples which had no part in choosing thresholds keep them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from eennc.policy.choice import Family
from eennc.policy.folds import OutOfFold
from eennc.policy.goal import Goal
from eennc.policy.statistics import SLACK, limit_rows, paired_loss, upper_bound
from eennc.policy.table import Costs, Floats, ScoreTable

SHARES = (1.0, 0.75, 0.5, 0.35, 0.2, 0.1, 0.0)
"""Shares of the limits that thresholds are chosen under so that the samples left out keep the limits."""
CHANCE = 0.05
"""That the samples left out keep a limit which new data break, whichever family is taken."""
DRAWS = 20_000
"""Of correlated normal variables."""


class HeldOut:
    """Families under shares of the limits, out of fold.

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
        """A family out of fold, chosen under a share of the limits."""
        if (family, share) not in self.found:
            self.found[family, share] = self.of(family, self.goal.scaled(share))
        return self.found[family, share]

    def kept(self, family: Family, among: Sequence[Family]) -> tuple[float | None, OutOfFold]:
        """A family out of fold, and the largest share of the limits with which it keeps them, where the best of `among`
        is taken; None, and the whole network, where none is small enough.

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
        """Whether upper bounds of the losses keep all limits where the best of these families is taken."""
        return bool(np.all(self.room(found, among) >= -SLACK))

    def room(self, found: OutOfFold, among: Sequence[Family]) -> Floats:
        """By how much upper bounds of the losses are below their limits where the best of these families is taken.

        What a family loses by chance of the samples differs from one to the next, and is bounded for all of them
        together; what a group does to the network, it does to all families much alike.
        """
        base = self.table.correct[-1]
        room: list[float] = []
        for number, (limit, weights, strata) in enumerate(self.losses):
            key = tuple(among), number
            if key not in self.chances:
                self.chances[key] = self.chance(among, weights)
            grouped = paired_loss(base, found.correct, weights, self.table.groups, strata)
            alone = upper_bound(paired_loss(base, found.correct, weights), weights, self.chances[key])
            room.append(limit - max(grouped.upper95, alone))
        return np.array(room)

    def chance(self, among: Sequence[Family], weights: Floats) -> float:
        """That a bound of each family may be wrong with, so that of all together one is with `CHANCE`: where families
        lose on the same samples, more than a part of it (the largest of correlated normal variables, Hothorn, Bretz and
        Westfall 2008). weights: float64 [n], what the samples count in the loss.
        """
        if len(among) == 1:
            return CHANCE
        parts = np.stack([self._parts(self.under(one, SHARES[len(SHARES) // 2]), weights) for one in among])
        together = parts @ parts.T
        errors = np.sqrt(np.diag(together))
        # a family that loses and gains nothing is no risk
        largest = _normal(together / np.maximum(np.outer(errors, errors), 1e-300)).max(axis=1)
        return math.erfc(float(np.quantile(largest, 1 - CHANCE)) / math.sqrt(2)) / 2

    def saves_more(self, first: Family, family: Family, among: Sequence[Family]) -> float:
        """How surely a family, one of `among`, saves more than `first` alone does, had other samples been left out.

        The losses of both, under the share of the limits that was taken, the next larger one, which was ruled out, and
        the next smaller one, are drawn from the normal distribution with the covariance that they have over the samples
        left out. With each draw the largest of the three that keeps the limits is taken anew; where none does, the
        network is whole.
        """
        near = [self._near(first, (first,)), self._near(family, among)]
        both = [*near[0], *near[1]]
        parts = np.stack([self._parts(found, weights) for found in both for _, weights, _ in self.losses])
        rooms = np.stack([*(self.room(one, (first,)) for one in near[0]), *(self.room(one, among) for one in near[1])])
        drawn = _normal(parts @ parts.T).reshape(DRAWS, len(both), len(self.losses))
        keep = np.all(drawn <= rooms, axis=2)
        less = self._saved(near[0], keep[:, : len(near[0])])
        more = self._saved(near[1], keep[:, len(near[0]) :])
        return float(np.mean(more > less))

    def _parts(self, found: OutOfFold, weights: Floats) -> Floats:
        """What each sample adds to a loss, float64 [n]."""
        return weights * (self.table.correct[-1].astype(np.float64) - found.correct)

    def _near(self, family: Family, among: Sequence[Family]) -> list[OutOfFold]:
        """A family under the next larger share, its own and the next smaller one."""
        share, _ = self.kept(family, among)
        at = len(SHARES) if share is None else SHARES.index(share)
        return [self.under(family, share) for share in SHARES[max(at - 1, 0) : at + 2]]

    def _saved(self, near: Sequence[OutOfFold], keep: NDArray[np.bool_]) -> Floats:
        """What the first saves that keeps the limits, in each of the draws that bool [D, C] tell of; else nothing."""
        savings = np.array([one.saved(self.table, self.costs) for one in near])
        return np.where(keep.any(axis=1), savings[keep.argmax(axis=1)], 0.0)


def _normal(covariance: Floats) -> Floats:
    """Draws of normal variables, float64 [DRAWS, V]."""
    values, vectors = np.linalg.eigh(covariance)
    normal = np.random.default_rng(0).standard_normal((DRAWS, len(covariance)))
    return normal * np.sqrt(np.maximum(values, 0)) @ vectors.T
