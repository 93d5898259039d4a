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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
from eennc.support.diagnostics import UserError

ORDERING = 0.3
"""Share of calibration that chooses the candidates."""
FRONT = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 8.0)
"""Limits, in epsilons, whose solutions on the ordering part are the candidates."""
CAREFUL = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
"""Shares of the confidences that reach the first solution's thresholds, by which more careful candidates are made."""
STEPS = 4096
"""Thresholds that ucb and crc choose from."""
MOST = 1000
"""Times the units there are, up to which it is estimated how many are needed."""

Fit = Callable[[ScoreTable, float, Policy | None], Policy]
"""Solves on a table under a limit on the loss; from the policy of another limit, where there is one, with its
temperatures."""


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
    front = candidates(rows_of(table, ordering), costs, guarantee.epsilon, fit)
    part = rows_of(table, certifying)
    if not front:
        found = _Outcome() if judge.may_pass(part) else judge.too_few()
        return never, judge.certificate(ordering, certifying, found)
    if guarantee.method == "ltt":
        careful = more_careful(rows_of(table, ordering), front[0])
        found = judge.in_turn(part, costs, [*careful, *front])
    else:
        middle = fit(rows_of(table, ordering), guarantee.epsilon, front[0])
        family = shared_family(rows_of(table, ordering), middle if middle.active.any() else front[0], guarantee)
        found = judge.along(part, family)
    return found.policy or never, judge.certificate(ordering, certifying, found)


def divide(table: ScoreTable, metric: Metric, seed: int) -> tuple[Ints, Ints]:
    """The samples that order candidates and those that certify, int64 [a], [b], drawn at random from `seed`.

    By whole groups where the table has groups; else for balanced accuracy class by class, where tests take the number
    of samples of each class as given; else from all samples alike: with as many of each class in either part, the parts
    would not be independent samples of the population.
    """
    random = np.random.default_rng(seed)
    if table.groups is not None:
        names = random.permutation(np.unique(table.groups))
        first = np.isin(table.groups, names[: _share(len(names))])
    else:
        first = np.zeros(len(table), bool)
        strata = table.labels if metric == "balanced-accuracy" else np.zeros(len(table), np.int64)
        for stratum in np.unique(strata):
            rows = random.permutation(np.flatnonzero(strata == stratum))
            first[rows[: _share(len(rows))]] = True
    return np.flatnonzero(first), np.flatnonzero(~first)


def _share(count: int) -> int:
    return min(max(round(ORDERING * count), 1), count - 1)


def rows_of(table: ScoreTable, rows: Ints) -> ScoreTable:
    """The table of some of the samples."""
    return dataclasses.replace(
        table,
        scores=table.scores[:, rows],
        labels=table.labels[rows],
        groups=None if table.groups is None else table.groups[rows],
        weights=None if table.weights is None else table.weights[rows],
        evidence=None if table.evidence is None else table.evidence[:, rows],
    )


def candidates(part: ScoreTable, costs: Costs, epsilon: float, fit: Fit) -> list[Policy]:
    """Policies that are cheaper one than the other on `part`, the most careful first, all with exits."""
    front: list[Policy] = []
    policy: Policy | None = None
    least = float(costs.backbone[-1])
    for factor in FRONT:
        policy = fit(part, min(factor * epsilon, 1.0), policy)
        macs = float(part.sample_weights @ evaluate(part, costs, policy).macs)
        if policy.active.any() and macs < least:
            front.append(policy)
            least = macs
    return front


def more_careful(part: ScoreTable, policy: Policy) -> list[Policy]:
    """The policy with thresholds that fewer of the part's confidences reach, at all exits alike, most careful first.

    Under a small limit solvers leave no exit where the part has few samples, though a few easy ones could stop.
    """
    confidences = part.confidences(policy.temperatures)
    active = np.flatnonzero(policy.active)
    pools = [active] if policy.shared else [np.array([k]) for k in active]
    found: list[Policy] = []
    for share in CAREFUL:
        thresholds = list(policy.thresholds)
        for pool in pools:
            values = np.sort(confidences[pool], axis=None)
            first = int(np.searchsorted(values, np.float32(policy.thresholds[pool[0]])))
            raised = first + int((1 - share) * (len(values) - first))
            if first < raised < len(values):
                below = values[raised] if part.rule == "patience" else values[raised - 1]
                for k in pool:
                    thresholds[k] = float((below + values[raised]) / np.float32(2))
        found.append(dataclasses.replace(policy, thresholds=tuple(thresholds)))
    return found


def shared_family(part: ScoreTable, policy: Policy, guarantee: Guarantee) -> list[Policy]:
    """The policy at every threshold, the most careful first; raises UserError where it has more than one."""
    if not policy.shared:
        raise UserError(
            f"method {guarantee.method} lowers one shared threshold, and these are one per exit",
            hint="take method ltt, or thresholds: shared",
        )
    confidences = part.confidences(policy.temperatures)[policy.active]
    if part.rule == "patience":
        levels = np.unique(confidences)  # whole numbers
    else:
        from eennc.policy.solvers.problem import grid_of  # numba is slow to import

        levels = grid_of(confidences, STEPS)
    return [
        dataclasses.replace(policy, thresholds=tuple(float(t) if on else float("inf") for on in policy.active))
        for t in levels[::-1]
    ]


def worse_from(table: ScoreTable, policy: Policy) -> Floats:
    """The highest shared threshold at which the policy's exits give a sample a worse answer than the base network does,
    float64 [n]; -inf where none does. Under any threshold up to that the sample counts as lost: the running maximum of
    its loss over all more careful thresholds, which rises as the threshold falls and is no less than the loss.
    """
    before = np.full(len(table), -np.inf)
    highest = before.copy()
    for k in np.flatnonzero(policy.active):
        confidence = table.confidences(policy.temperatures)[k].astype(np.float64)
        stops = (confidence > before) & table.correct[-1] & ~table.correct[k]
        highest = np.maximum(highest, np.where(stops, confidence, -np.inf))
        before = np.maximum(before, confidence)
    return highest


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

    def in_turn(self, part: ScoreTable, costs: Costs, front: Sequence[Policy]) -> _Outcome:
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

    def along(self, part: ScoreTable, family: Sequence[Policy]) -> _Outcome:
        """The lowest threshold that a bound on a loss that rises as it falls allows. What is taken by halving is what
        going down one by one would take.
        """
        highest = worse_from(part, family[0])
        active = int(np.flatnonzero(family[0].active)[0])

        def at(number: int) -> tuple[Judged, float]:
            strata = self.units(part, (highest >= family[number].thresholds[active]).astype(np.float64))
            return self.judge(strata, monotone=True), _mean(strata)

        allowed, refused = -1, len(family)
        while refused - allowed > 1:
            middle = (allowed + refused) // 2
            allowed, refused = (middle, refused) if at(middle)[0].passed else (allowed, middle)
        if allowed < 0:
            return dataclasses.replace(self.too_few(), tested=1)
        judged, observed = at(allowed)
        return _Outcome(family[allowed], allowed + 1, min(allowed + 2, len(family)), judged, observed)

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
    while count - _share(count) < certifying:
        count += 1
    return count
