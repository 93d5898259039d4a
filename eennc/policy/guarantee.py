"""Chooses a policy whose loss on the population, not on the samples at hand, keeps a limit.

Calibration is divided. One part chooses everything: exits, temperatures, thresholds, and an order of candidates. The
other part is looked at only to say how far down that order one may go, and what it allows is taken as it is.

ltt: Learn then Test (Angelopoulos et al., arXiv 2110.01052), fixed-sequence testing. A wrong candidate is taken only
if the first wrong one of the sequence passes its test, which happens with probability delta at most, however the losses
of the candidates hang together. ucb: risk-controlling prediction sets (Bates et al., arXiv 2101.02703). crc: conformal
risk control (Angelopoulos et al., arXiv 2208.02814). On early exits: Fast yet Safe (Jazbec et al., NeurIPS 2024).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.candidates import (
    ORDERING,
    Fit,
    candidates,
    divide,
    levels_of,
    more_careful,
    pays,
    share_of,
    worse_from,
)
from eennc.policy.certificate import Certificate, Guarantee, Needed, Unit
from eennc.policy.evaluate import evaluate
from eennc.policy.risk_tests import (
    as_integers,
    betting_p_value,
    betting_upper,
    binomial_upper,
    paired_p_value,
    paired_upper,
)
from eennc.policy.statements import statement
from eennc.policy.statistics import Metric
from eennc.policy.table import Costs, Floats, Ints, Policy, ScoreTable

MOST = 1000
"""Times the units there are, up to which it is estimated how many are needed."""


@dataclass(frozen=True)
class Units:
    """Losses of units in [-1, 1], float64 [m], their weights in [0, 1], and how often each was seen. whole: losses are
    -1, 0 or 1 and weights 1.
    """

    losses: Floats
    weights: Floats
    times: Floats
    whole: bool

    def scaled(self, factor: float) -> Units:
        """The same losses seen more often."""
        return dataclasses.replace(self, times=self.times * factor)

    @property
    def count(self) -> float:
        """How many there are."""
        return float(self.times.sum())

    @property
    def mean(self) -> float:
        """Their loss."""
        counted = self.weights * self.times
        return float(counted @ self.losses) / max(float(counted.sum()), 1e-300)


@dataclass(frozen=True)
class Judged:
    """Whether a candidate may be taken, and by which figure."""

    passed: bool
    p_value: float | None = None
    bound: float | None = None


def guaranteed(
    table: ScoreTable, costs: Costs, guarantee: Guarantee, metric: Metric, fit: Fit, seed: int = 0
) -> tuple[Policy, Certificate]:
    """The cheapest policy that `guarantee` allows, and what is certain of it; never-exit where none can be certified.

    fit(part, limit, known): the cheapest policy on a part of the table under a limit, best by the upper95 statistic, as
    that is like what the other part will ask. Raises UserError where ucb or crc is asked for and the thresholds are not
    shared.
    """
    ordering, certifying = divide(table, metric, seed)
    judge = _Judge(table, guarantee, metric)
    never = Policy((float("inf"),) * table.exits, (1.0,) * table.exits, table.rule, "none", shared=True)
    if not len(ordering) or not len(certifying) or judge.missing(certifying):
        return never, judge.certificate(ordering, certifying, judge.too_few())
    chosen_on, part = table.rows(ordering), table.rows(certifying)
    front = candidates(chosen_on, costs, guarantee.epsilon, fit)
    first = next(front, None)
    if first is None:
        found = _Outcome() if judge.may_pass(part) else judge.too_few()
        return never, judge.certificate(ordering, certifying, found)
    if guarantee.method == "ltt":
        careful = [policy for policy in more_careful(chosen_on, first) if pays(chosen_on, costs, policy)]
        found = judge.in_turn(part, costs, itertools.chain(careful, [first], front))
    else:
        middle = fit(chosen_on, guarantee.epsilon, first)
        lowered = middle if middle.active.any() else first
        found = judge.along(part, lowered, levels_of(chosen_on, lowered, guarantee))
        if found.policy is not None and not pays(chosen_on, costs, found.policy):
            found = _Outcome(tested=found.tested)
    return found.policy or never, judge.certificate(ordering, certifying, found)


@dataclass(frozen=True)
class _Outcome:
    """What tests found; without a policy, never-exit."""

    policy: Policy | None = None
    certified: int = 0
    tested: int = 0
    judged: Judged = Judged(True)
    observed: float = 0.0
    needed: Needed | None = None


class _Judge:
    """Tests losses of the certifying part."""

    def __init__(self, table: ScoreTable, guarantee: Guarantee, metric: Metric) -> None:
        self.table, self.guarantee = table, guarantee
        self.metric: Metric = metric
        self.balanced = metric == "balanced-accuracy"
        self.classes = np.unique(table.labels) if self.balanced else np.zeros(1, np.int64)
        weights = np.ones(len(table)) if table.weights is None else table.weights.astype(np.float64)
        self.weighted = bool((weights != weights[0]).any())
        self.heaviest = float(weights.max())
        self.unit: Unit = "sample" if table.groups is None else "group"

    def missing(self, certifying: Ints) -> bool:
        """Whether a class has no unit in the certifying part."""
        return self.balanced and len(np.unique(self.table.labels[certifying])) < len(self.classes)

    def may_pass(self, part: ScoreTable) -> bool:
        """Whether a candidate that loses nothing would."""
        return self.judge(self.units(part, np.zeros(len(part))), self.guarantee.method != "ltt").passed

    def units(self, part: ScoreTable, losses: Floats) -> list[Units]:
        """The units of all samples, or of each class; a group is worth its samples' weighted mean."""
        weights = np.ones(len(part)) if part.weights is None else part.weights / self.heaviest
        found: list[Units] = []
        for label in self.classes:
            rows = np.flatnonzero(part.labels == label) if self.balanced else np.arange(len(part))
            values, counted = losses[rows], weights[rows]
            if part.groups is not None:
                number = np.unique(part.groups[rows], return_inverse=True)[1]
                total = np.bincount(number, counted)
                values = np.bincount(number, counted * values)[total > 0] / total[total > 0]
                counted = np.ones(len(values))
            elif not self.weighted:
                counted = np.ones(len(values))
            found.append(Units(values, counted, np.ones(len(values)), part.groups is None and not self.weighted))
        return found

    def judge(self, strata: Sequence[Units], monotone: bool = False) -> Judged:
        """Test losses, those of each stratum apart with a union bound. `monotone`: losses are shares lost, 0 to 1."""
        epsilon = self.guarantee.epsilon
        if self.guarantee.method == "crc":
            worst = max(_corrected(one) for one in strata)
            return Judged(worst <= epsilon, bound=worst)
        level = self.guarantee.level / len(strata)
        if self.guarantee.method == "ltt" and len(strata) == 1:
            p_value = _p_value(strata[0], epsilon, level)
            return Judged(p_value <= level, p_value=p_value)
        bound = float(np.mean([_upper(one, level, monotone) for one in strata]))
        return Judged(bound <= epsilon, bound=bound)

    def in_turn(self, part: ScoreTable, costs: Costs, front: Iterable[Policy]) -> _Outcome:
        """Fixed-sequence testing."""
        found = _Outcome()
        for number, policy in enumerate(front, 1):
            losses = part.correct[-1].astype(np.float64) - evaluate(part, costs, policy).correct
            strata = self.units(part, losses)
            judged = self.judge(strata)
            if not judged.passed:
                needed = None if found.certified else self.needed(strata)
                return dataclasses.replace(found, tested=number, needed=needed)
            found = _Outcome(policy, number, number, judged, _mean(strata))
        return found

    def along(self, part: ScoreTable, policy: Policy, levels: NDArray[np.float32]) -> _Outcome:
        """The lowest threshold that a bound on a loss that rises as it falls allows. What is taken by halving is what
        going down one by one would take.
        """
        highest = worse_from(part, policy)

        def at(number: int) -> tuple[Judged, float]:
            strata = self.units(part, (highest >= levels[number]).astype(np.float64))
            return self.judge(strata, monotone=True), _mean(strata)

        allowed, refused = -1, len(levels)
        while refused - allowed > 1:
            middle = (allowed + refused) // 2
            allowed, refused = (middle, refused) if at(middle)[0].passed else (allowed, middle)
        if allowed < 0:
            return dataclasses.replace(self.too_few(), tested=1)
        judged, observed = at(allowed)
        thresholds = tuple(float(levels[allowed]) if on else float("inf") for on in policy.active)
        taken = dataclasses.replace(policy, thresholds=thresholds)
        return _Outcome(taken, allowed + 1, min(allowed + 2, len(levels)), judged, observed)

    def too_few(self) -> _Outcome:
        """Nothing could be tested."""
        return _Outcome(needed=self.needed(None))

    def needed(self, strata: Sequence[Units] | None) -> Needed:
        """How many units would do, without any loss and, from the losses of `strata`, at their rate."""
        whole = self.unit == "sample" and not self.weighted
        nothing = [Units(np.zeros(1), np.ones(1), np.ones(1), whole) for _ in self.classes]
        monotone = self.guarantee.method != "ltt"

        def passes(units: Sequence[Units], factor: float) -> bool:
            return self.judge([one.scaled(factor) for one in units], monotone).passed

        least = _least(lambda count: passes(nothing, count), 1)
        estimate = None
        if strata is not None and _mean(strata) < self.guarantee.epsilon:
            now = int(sum(one.count for one in strata))
            if passes(strata, MOST):
                estimate = max(_in_all(_least(lambda count: passes(strata, count / now), now)), _in_all(least))
        return Needed(_in_all(least), estimate)

    def certificate(self, ordering: Ints, certifying: Ints, found: _Outcome) -> Certificate:
        """What was found, in figures and words."""
        made = Certificate(
            method=self.guarantee.method,
            epsilon=self.guarantee.epsilon,
            delta=None if self.guarantee.method == "crc" else self.guarantee.level,
            metric=self.metric,
            unit=self.unit,
            ordering=self._count(ordering),
            certifying=self._count(certifying),
            certified=found.certified,
            tested=found.tested,
            p_value=found.judged.p_value,
            bound=found.judged.bound,
            observed=found.observed,
            needed=found.needed,
            statement="",
        )
        return dataclasses.replace(made, statement=statement(made, self.weighted and self.unit == "sample"))

    def _count(self, rows: Ints) -> int:
        return len(rows) if self.table.groups is None else len(np.unique(self.table.groups[rows]))


def _p_value(units: Units, epsilon: float, level: float) -> float:
    if units.whole:
        return paired_p_value(*as_integers(units.losses, units.times), epsilon, level)
    return betting_p_value(units.losses, epsilon, units.weights, units.times)


def _upper(units: Units, level: float, monotone: bool) -> float:
    if not units.whole:
        return betting_upper(units.losses, units.weights, units.times, level)
    worse, better, count = as_integers(units.losses, units.times)
    return binomial_upper(worse, count, level) if monotone else paired_upper(worse, better, count, level)


def _corrected(units: Units) -> float:
    """The loss if one unit more were there, the heaviest, and lost: (n / (n + 1)) loss + 1 / (n + 1) for equal weights
    (Angelopoulos et al., arXiv 2208.02814, with B = 1).
    """
    counted = units.weights * units.times
    return (float(counted @ units.losses) + 1) / (float(counted.sum()) + 1)


def _mean(strata: Sequence[Units]) -> float:
    return float(np.mean([one.mean for one in strata]))


def _least(enough: Callable[[float], bool], start: int) -> int:
    """The least count that is enough, from `start` on; to a twentieth where that is not 1."""
    low, high = start - 1, start
    while not enough(high):
        low, high = high, 2 * high
    while high - low > max(1, high // 20 if start > 1 else 1):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _in_all(certifying: int) -> int:
    """How many units calibration must have for so many in its certifying part."""
    count = int(certifying / (1 - ORDERING))
    while count - share_of(count) < certifying:
        count += 1
    return count
