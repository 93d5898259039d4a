"""Which family of thresholds to take, by cross-validation inside the calibration data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.achieved import achieved
from eennc.policy.calibration import temperatures
from eennc.policy.choice import FAMILIES, Family, FamilyChoice, FamilyRow
from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.requirements import Estimate, relative_macs
from eennc.policy.solve import solve
from eennc.policy.statistics import SLACK, limit_rows, loss_of, metric_weights, paired_loss, upper_bound
from eennc.policy.table import Costs, Floats, Ints, Policy, ScoreTable
from eennc.support.diagnostics import UserError

FOLDS = 5
FEWEST_SAMPLES, FEWEST_GROUPS = 40, 3
"""Fewer than these are not divided into folds."""
CAREFUL = 1.0
"""Standard errors by which a family must lose less than one shared threshold, so that it is not chance."""
GAIN = 0.5
"""Standard errors that a family must gain over one shared threshold."""
SAFE = 1.0
"""Standard errors by which a loss below its limit is safe, so that the comparison of losses does not matter."""
SHARES = (1.0, 0.75, 0.5, 0.35, 0.2, 0.1, 0.0)
"""Shares of the limits that thresholds are chosen under so that the samples left out keep the limits."""
CHANCE = 0.05
"""That the samples left out keep a limit which new data break, whichever family is taken."""
DRAWS = 20_000
"""Of the largest of as many normal variables as there are families."""


@dataclass(frozen=True)
class Settings:
    """Of `solve`, for all families alike."""

    steps: int = 100
    max_exits: int | None = None
    min_gain: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class OutOfFold:
    """What policies do on samples that did not choose them: bool [n], int64 [n]."""

    correct: NDArray[np.bool_]
    macs: Ints


def choose_family(
    table: ScoreTable, costs: Costs, goal: Goal, families: Sequence[Family] = FAMILIES, settings: Settings = Settings()
) -> FamilyChoice:
    """The family of thresholds that reaches `goal` best on new data, as far as cross-validation inside `table` tells.

    Temperatures and thresholds are chosen on all folds but one and looked at on that one, for each fold (Stone 1974;
    by whole groups, Roberts et al. 2017). A family may be taken that loses less there than one shared threshold, by
    `CAREFUL` standard errors of the paired difference: families that over-fit more gain much on calibration, and a
    smaller margin would take them by chance. Or one whose loss is `SAFE` standard errors below its limit. Of these it
    is the one that gains most, if that is more than `GAIN` standard errors of the gain; else the shared threshold.

    Where limits are to be kept on held-out samples, each family is chosen under the largest of `SHARES` of the limits
    with which the samples left out keep them, by an upper bound; losses need no comparison then. That of one shared
    threshold is at 95 %, as if it alone had been asked for. Those of the others, the best of which may take its place,
    hold for all families at once with 95 %.

    Of a single family the expected loss alone is found out. For best-accuracy families are compared by the cost under
    the limit that a shared threshold needs for the budget.
    """
    if why := too_few(table):
        return FamilyChoice(families[0], None, (), 0, False, why)
    try:
        return Comparison(table, costs, goal, settings).choose(families)
    except UserError:
        why = "some folds cannot reach the goal"
        return FamilyChoice(_first_that_can(table, costs, goal, families, settings), None, (), 0, False, why)


def _first_that_can(
    table: ScoreTable, costs: Costs, goal: Goal, families: Sequence[Family], settings: Settings
) -> Family:
    """The first family that reaches the goal on the whole table; the first of all where none does."""
    fitted = temperatures(table)
    for family in families:
        try:
            _fit(table, costs, goal, family, settings, fitted)
        except UserError:
            continue
        return family
    return families[0]


def _fit(
    table: ScoreTable,
    costs: Costs,
    goal: Goal,
    family: Family,
    settings: Settings,
    fitted: tuple[float, ...],
    whole: ScoreTable | None = None,
) -> Policy:
    return solve(
        table,
        costs,
        goal,
        family=family,
        # the exact solver would take seconds per fold, and gains little
        solver="descent" if family == "per-exit" else "auto",
        steps=settings.steps,
        max_exits=settings.max_exits,
        min_gain=settings.min_gain,
        seed=settings.seed,
        fitted=fitted,
        thorough=False,
        whole=whole,
    )


def too_few(table: ScoreTable) -> str:
    """Why the table cannot be divided into folds; empty where it can."""
    groups = FEWEST_GROUPS if table.groups is None else len(np.unique(table.groups))
    if len(table) < FEWEST_SAMPLES:
        return f"{len(table)} samples are too few for cross-validation"
    return f"{groups} groups are too few for cross-validation" if groups < FEWEST_GROUPS else ""


def folds_of(table: ScoreTable, seed: int) -> Ints:
    """The fold of each sample, int64 [n], drawn from `seed`: whole groups where the table has groups, else class by
    class.
    """
    random = np.random.default_rng(seed)
    if table.groups is not None:
        names, number = np.unique(table.groups, return_inverse=True)
        fold = np.empty(len(names), np.int64)
        fold[random.permutation(len(names))] = np.arange(len(names)) % FOLDS
        return fold[number]
    fold = np.empty(len(table), np.int64)
    dealt = np.concatenate([random.permutation(np.flatnonzero(table.labels == c)) for c in range(table.classes)])
    fold[dealt] = np.arange(len(table)) % FOLDS
    return fold


def out_of_fold(table: ScoreTable, costs: Costs, fold: Ints, fit: Callable[[int, ScoreTable], Policy]) -> OutOfFold:
    """Let each fold's samples stop where the policy says that the others chose: fit(fold, the others)."""
    correct, macs = np.empty(len(table), bool), np.empty(len(table), np.int64)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        found = evaluate(table.rows(rows), costs, fit(int(number), table.rows(np.flatnonzero(fold != number))))
        correct[rows], macs[rows] = found.correct, found.macs
    return OutOfFold(correct, macs)


class Comparison:
    """Families on one table, all on the same folds; what is found out of fold is kept."""

    def __init__(self, table: ScoreTable, costs: Costs, goal: Goal, settings: Settings) -> None:
        self.table, self.costs, self.goal, self.settings = table, costs, goal, settings
        self.fold = folds_of(table, settings.seed)
        self.fitted: dict[int, tuple[float, ...]] = {}
        self.found: dict[tuple[Family, float], OutOfFold] = {}
        if goal.objective == "best-accuracy":
            self.goal = goal.within(self._needed())
        self.asked = goal

    def choose(self, families: Sequence[Family]) -> FamilyChoice:
        """As `choose_family` says."""
        first = families[0]
        share, reference = self.kept(first, (first,))
        rows = [self.row(first, reference, share)]
        chosen, most, why = rows[0], 0.0, ""
        for family in families[1:]:
            share, found = self.kept(family, families)
            rows.append(self.row(family, found, share))
            gain = self.gains(reference, found)
            if gain > most and (self.goal.held_out or self.loses_no_more(reference, found)):
                chosen, most = rows[-1], gain
                why = f"gains {gain:.2%} over {first} out of fold, at no more loss"
        if len(families) == 1:
            why = "as asked for"
        elif chosen is rows[0]:
            why = f"no other family gains more than {GAIN:g} standard errors over it out of fold, at no more loss"
        expected = chosen
        if self.asked.objective == "best-accuracy":
            expected = self.row(chosen.family, self.of(chosen.family, self.asked))
        folds = len(np.unique(self.fold))
        grouped = self.table.groups is not None
        return FamilyChoice(chosen.family, expected, tuple(rows), folds, grouped, why, chosen.share)

    def kept(self, family: Family, among: Sequence[Family]) -> tuple[float | None, OutOfFold]:
        """A family out of fold, and the share of the limits it was chosen under, where the best of `among` is taken.

        Of the shares half are ruled out at a time, as a smaller one loses less.
        """
        if not self.goal.held_out:
            return 1.0, self.of(family, self.goal)
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
        """Whether upper bounds of the loss keep all limits where the best of these families is taken.

        What a family loses by chance of the samples differs from one to the next, and is bounded for all of them
        together; what a group does to the network, it does to all families much alike.
        """
        base = self.table.correct[-1]
        for one in self.goal.limits:
            for weights, strata in limit_rows(self.table, one.metric):
                grouped = paired_loss(base, found.correct, weights, self.table.groups, strata)
                alone = upper_bound(paired_loss(base, found.correct, weights), weights, self.chance(among, weights))
                if max(grouped.upper95, alone) > one.limit + SLACK:
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
        parts = np.stack([weights * (base - self.under(family, SHARES[len(SHARES) // 2]).correct) for family in among])
        together = parts @ parts.T
        errors = np.sqrt(np.diag(together))
        # a family that loses and gains nothing is no risk
        correlation = together / np.maximum(np.outer(errors, errors), 1e-300)
        values, vectors = np.linalg.eigh(correlation)
        normal = np.random.default_rng(0).standard_normal((DRAWS, len(among)))
        largest = (normal * np.sqrt(np.maximum(values, 0)) @ vectors.T).max(axis=1)
        return float((normal[:, 0] > np.quantile(largest, 1 - CHANCE)).mean())

    def under(self, family: Family, share: float) -> OutOfFold:
        """A family out of fold, chosen under a share of the limits."""
        if (family, share) not in self.found:
            self.found[family, share] = self.of(family, self.goal.scaled(share))
        return self.found[family, share]

    def of(self, family: Family, goal: Goal) -> OutOfFold:
        """A family out of fold."""

        def fit(number: int, part: ScoreTable) -> Policy:
            if number not in self.fitted:
                self.fitted[number] = temperatures(part)
            return self._fit(family, goal, part, self.fitted[number])

        return out_of_fold(self.table, self.costs, self.fold, fit)

    def _fit(self, family: Family, goal: Goal, part: ScoreTable, fitted: tuple[float, ...]) -> Policy:
        return _fit(part, self.costs, goal, family, self.settings, fitted, self.table)

    def row(self, family: Family, found: OutOfFold, share: float | None = 1.0) -> FamilyRow:
        """For the report."""
        saved = 1 - float(self.table.sample_weights @ found.macs) / max(int(self.costs.backbone[-1]), 1)
        return FamilyRow(family, loss_of(self.table, found.correct, self.goal.metric), saved, share)

    def gains(self, reference: OutOfFold, found: OutOfFold) -> float:
        """By how much a family is better in what the objective makes least, in networks; 0 where that is less than
        `GAIN` standard errors of it.
        """
        gain = self._difference(reference, found)
        return gain.value if gain.value > GAIN * gain.standard_error else 0.0

    def loses_no_more(self, reference: OutOfFold, found: OutOfFold) -> bool:
        """Whether a family surely loses no more than the reference in what a limit is on, or safely little."""
        table = self.table
        for one in self.goal.limits:
            for weights, strata in limit_rows(table, one.metric):
                loss = paired_loss(table.correct[-1], found.correct, weights, table.groups, strata)
                more = paired_loss(reference.correct, found.correct, weights, table.groups, strata)
                safe = loss.point + SAFE * loss.standard_error <= one.limit
                if not safe and more.point + CAREFUL * more.standard_error > 0:
                    return False
        return True

    def _difference(self, reference: OutOfFold, found: OutOfFold) -> Estimate:
        macs: Floats = (reference.macs - found.macs).astype(np.float64)
        if self.goal.price:
            base = float(self.costs.backbone[-1])
            counts = np.maximum(self.table.sample_weights, 1e-300)
            lost = metric_weights(self.table, self.goal.metric) / counts
            lost = lost * (found.correct.astype(np.float64) - reference.correct)
            macs = macs + self.goal.price * base * lost
        return relative_macs(self.table, macs, int(self.costs.backbone[-1]))

    def _needed(self) -> float:
        """The limit on the loss that a shared threshold needs for the budget."""
        found = self._fit("shared", self.goal, self.table, temperatures(self.table))
        return max(achieved(self.table, self.costs, found, self.goal).loss, 0.0)
