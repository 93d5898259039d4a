"""Which family of thresholds to take, by cross-validation inside the calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eennc.policy.achieved import achieved
from eennc.policy.calibration import temperatures
from eennc.policy.choice import FAMILIES, Family, FamilyChoice, FamilyRow
from eennc.policy.folds import OutOfFold, folds_of, out_of_fold, too_few
from eennc.policy.goal import Goal
from eennc.policy.held_out import HeldOut
from eennc.policy.requirements import Estimate, relative_macs
from eennc.policy.solve import solve
from eennc.policy.statistics import limit_rows, loss_of, metric_weights, paired_loss
from eennc.policy.table import Costs, Floats, Policy, ScoreTable
from eennc.support.diagnostics import UserError

CAREFUL = 1.0
"""Standard errors by which a family must lose less than one shared threshold, so that it is not chance."""
GAIN = 0.5
"""Standard errors that a family must gain over one shared threshold."""
SAFE = 1.0
"""Standard errors by which a loss below its limit is safe, so that the comparison of losses does not matter."""
WORTH = 0.02
"""Of the network's cost a family must gain over one shared threshold where limits are kept on held-out samples: of
families that nearly tie, chance decides which seems to gain most."""


@dataclass(frozen=True)
class Settings:
    """Of `solve`, for all families alike."""

    steps: int = 100
    max_exits: int | None = None
    min_gain: float = 0.0
    seed: int = 0


def choose_family(
    table: ScoreTable, costs: Costs, goal: Goal, families: Sequence[Family] = FAMILIES, settings: Settings = Settings()
) -> FamilyChoice:
    """The family of thresholds that reaches `goal` best on new data, as far as cross-validation inside `table` tells.

    Temperatures and thresholds are chosen on all folds but one and looked at on that one, for each fold (Stone 1974;
    by whole groups, Roberts et al. 2017). A family may be taken that loses less there than one shared threshold, by
    `CAREFUL` standard errors of the paired difference: families that over-fit more gain much on calibration, and a
    smaller margin would take them by chance. Or one whose loss is `SAFE` standard errors below its limit. Of these it
    is the one that gains most, if that is more than `GAIN` standard errors of the gain; else the shared threshold.

    Where limits are to be kept on held-out samples, each family is chosen so that the samples left out keep them
    (`HeldOut`), by upper bounds that hold for all families at once. Losses need no comparison then, and the family is
    taken that gains most, if that is more than `WORTH` as well.

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


class Comparison:
    """Families on one table, all on the same folds; what is found out of fold is kept."""

    def __init__(self, table: ScoreTable, costs: Costs, goal: Goal, settings: Settings) -> None:
        self.table, self.costs, self.goal, self.settings = table, costs, goal, settings
        self.fold = folds_of(table, settings.seed)
        self.fitted: dict[int, tuple[float, ...]] = {}
        if goal.objective == "best-accuracy":
            self.goal = goal.within(self._needed())
        self.asked = goal
        self.held_out = HeldOut(table, costs, self.goal, self.of)

    def choose(self, families: Sequence[Family]) -> FamilyChoice:
        """As `choose_family` says."""
        first = families[0]
        share, reference = self.kept(first, families)
        rows = [self.row(first, reference, share)]
        no_loss = "" if self.goal.held_out else ", at no more loss"
        surely = f"by {WORTH:.0%}" if self.goal.held_out else "surely"
        chosen, most, why = rows[0], 0.0, f"no other family gains over it {surely} out of fold{no_loss}"
        for family in families[1:]:
            share, found = self.kept(family, families)
            rows.append(self.row(family, found, share))
            gain = self.gains(reference, found)
            if gain > most and (self.goal.held_out or self.loses_no_more(reference, found)):
                chosen, most = rows[-1], gain
                why = f"gains {gain:.2%} over {first} out of fold{no_loss}"
        if len(families) == 1:
            why = "as asked for"
        expected = chosen
        if self.asked.objective == "best-accuracy":
            expected = self.row(chosen.family, self.of(chosen.family, self.asked))
        folds = len(np.unique(self.fold))
        grouped = self.table.groups is not None
        return FamilyChoice(chosen.family, expected, tuple(rows), folds, grouped, why, chosen.share)

    def kept(self, family: Family, among: Sequence[Family]) -> tuple[float | None, OutOfFold]:
        """A family out of fold, and its share of the limits where the best of `among` is taken."""
        return self.held_out.kept(family, among) if self.goal.held_out else (1.0, self.of(family, self.goal))

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
        loss = loss_of(self.table, found.correct, self.goal.metric)
        return FamilyRow(family, loss, found.saved(self.table, self.costs), share)

    def gains(self, reference: OutOfFold, found: OutOfFold) -> float:
        """By how much a family is better in what the objective makes least, in networks; 0 where that is too little
        to count.
        """
        gain = self._difference(reference, found)
        least = max(GAIN * gain.standard_error, WORTH if self.goal.held_out else 0.0)
        return gain.value if gain.value > least else 0.0

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
