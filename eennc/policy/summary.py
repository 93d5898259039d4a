"""What the report says: the early-exit network against the base network and against the best static cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.calibration import BINS, expected_calibration_error
from eennc.policy.certificate import Certificate
from eennc.policy.choice import FamilyChoice
from eennc.policy.evaluate import evaluate, limits_met
from eennc.policy.front import FrontPoint, figures, pareto_front
from eennc.policy.goal import Goal
from eennc.policy.statistics import NO_LOSS, SLACK, Loss, Metric, Statistic, loss_of, quantiles
from eennc.policy.table import CostMetric, Costs, Policy, ScoreTable, Tables

NEAR = 1e-4
"""A confidence this near to its threshold may fall on the other side in another runtime's float arithmetic."""
TIED = 0.1
"""Share of samples at the highest confidence above which it is warned: no threshold can tell them apart."""


@dataclass(frozen=True)
class ExitRow:
    """One exit of the artefact, or (`exit` = number of exits) the last classifier.

    share: of the samples that stop here; accuracy: of those, None where there are none; macs: of a sample that stops
    here. class_thresholds: what each class must reach besides, None for one that never leaves here; or empty.
    """

    exit: int
    place: str
    share: float
    threshold: float | None
    temperature: float | None
    accuracy: float | None
    macs: int
    class_thresholds: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a network achieves on a split. macs: mean per sample. saved: share of the base network's MACs. recall: per
    class, None where the split has none of it. loss, balanced_loss: of accuracy and of balanced accuracy, against the
    base network.
    """

    accuracy: float
    balanced_accuracy: float
    recall: tuple[float | None, ...]
    macs: float
    saved: float
    loss: Loss
    balanced_loss: Loss

    def loss_in(self, metric: Metric) -> Loss:
        """The loss in a metric."""
        return self.loss if metric == "accuracy" else self.balanced_loss


@dataclass(frozen=True)
class HeadRow:
    """An exit that was trained, whether it stayed or not: what it answers to ALL samples of the split.

    exit: its number among those inserted. macs: of the network truncated here. loss: of that against the base network,
    in the metric of the limit. The calibration error is that of the largest probability, at temperature 1 and at that
    chosen on calibration. tied: share of the samples at the highest confidence that any has.
    """

    exit: int
    place: str
    kept: bool
    macs: int
    accuracy: float
    loss: Loss
    temperature: float
    calibration_error_before: float
    calibration_error: float
    tied: float


@dataclass(frozen=True)
class SplitSummary:
    """One split. near_threshold: samples with a confidence within 1e-4 of a threshold on their way."""

    split: str
    samples: int
    groups: int | None
    base: Outcome
    eenn: Outcome
    static: Outcome
    exits: tuple[ExitRow, ...]
    heads: tuple[HeadRow, ...]
    near_threshold: int


@dataclass(frozen=True)
class OperatingPoint:
    """Other thresholds for the exits that stayed: least mean MACs under another limit."""

    name: str
    limit: float
    thresholds: tuple[float, ...]
    calibration: Outcome
    test: Outcome | None


@dataclass(frozen=True)
class Summary:
    """The whole result. cost: what the thresholds were solved for and the front saves. cost_saved: the share of it that
    is saved, by split. static_place: where the best static cut ends, None for the whole network. recommended: how many
    calibration samples would do (`recommended_samples`), None without a limit or exits. certificate: what holds on new
    data, where that was asked for. solver, gap, grid_gap: as of `Policy`. families: which one the thresholds are of,
    and what to expect of new data; None where there is one way only. calibration_bins: how many, of equal width,
    calibration errors are taken over.
    """

    metric: Metric
    limit: float | None
    statistic: Statistic
    cost: CostMetric
    cost_saved: dict[str, float]
    solver: str
    gap: float | None
    grid_gap: float | None
    static_place: str | None
    calibration: SplitSummary
    test: SplitSummary | None
    front: tuple[FrontPoint, ...]
    recommended: int | None = None
    points: tuple[OperatingPoint, ...] = ()
    certificate: Certificate | None = None
    families: FamilyChoice | None = None
    calibration_bins: int = BINS


def summarise(
    tables: Tables,
    policy: Policy,
    goal: Goal,
    solve_for: Callable[[Goal], Policy],
) -> Summary:
    """Evaluate a policy on both splits; `solve_for` gives the policies of the Pareto front.

    The best static cut is the cheapest network truncated at one exit, among all that were trained, whose loss on
    calibration keeps the limit.
    """
    metric = goal.metric
    static = static_cut(tables, goal)
    test = tables.test
    calibration = _split(tables.calibration, tables, policy, metric, static)
    lost, exits = calibration.eenn.loss_in(metric), policy.active.any()
    return Summary(
        metric=metric,
        limit=goal.limit,
        statistic=goal.statistic,
        cost=tables.solved.metric,
        cost_saved={
            table.split: figures(table, tables.solved, policy, metric).saved
            for table in (tables.calibration, test)
            if table is not None
        },
        solver=policy.solver,
        gap=policy.gap,
        grid_gap=policy.grid_gap,
        static_place=None if static is None else tables.places[static],
        calibration=calibration,
        test=None if test is None else _split(test, tables, policy, metric, static),
        front=pareto_front(tables, goal, lambda other: policy if other == goal else solve_for(other)),
        recommended=recommended_samples(lost, calibration.samples, goal.limit) if goal.limit and exits else None,
    )


def recommended_samples(loss: Loss, samples: int, limit: float) -> int:
    """How many calibration samples would bring the margin of the loss's one-sided 95 % bound down to half the limit:
    with s the standard error on `samples`, samples * (2 * 1.645 s / limit)^2, and at least what the rule of three asks
    for where nothing is seen to be lost. Groups count by the standard error that they lead to.
    """
    one_sided = quantiles(None)[1]
    seen = samples * (2 * one_sided * loss.standard_error / limit) ** 2
    return math.ceil(max(seen, -2 * math.log(0.05) / limit))


def operating_point(name: str, limit: float, tables: Tables, policy: Policy) -> OperatingPoint:
    """Evaluate a policy on both splits of the tables of the exits that stayed."""

    def achieved(table: ScoreTable) -> Outcome:
        found = evaluate(table, tables.costs, policy)
        base = int(tables.costs.backbone[-1])
        return outcome(table, found.correct, found.macs, base, is_base=not policy.active.any())

    test = None if tables.test is None else achieved(tables.test)
    return OperatingPoint(name, limit, policy.thresholds, achieved(tables.calibration), test)


def static_cut(tables: Tables, goal: Goal) -> int | None:
    """The exit at which the best static cut ends, or None for the whole network. Chosen on calibration."""
    table = tables.calibration
    best, least = None, int(tables.costs.backbone[-1])
    for k in range(table.exits):
        macs = _static_macs(tables.costs, k)
        within = loss_of(table, table.correct[k], goal.metric).of(goal.statistic) <= goal.limits[0].limit + SLACK
        if macs < least and within:
            best, least = k, macs
    return best


def _static_macs(costs: Costs, exit: int) -> int:
    return int(costs.backbone[exit] + costs.head[exit])


def outcome(
    table: ScoreTable, correct: NDArray[np.bool_], macs: NDArray[np.int64], base_macs: int, is_base: bool = False
) -> Outcome:
    """What a network with these answers (bool [n]) and costs (int64 [n]) achieves; `is_base`: it is the base itself."""
    weights = table.sample_weights
    per_class = np.bincount(table.labels, weights, table.classes)
    right = np.bincount(table.labels, weights * correct, table.classes)
    recall = tuple(float(r / c) if c > 0 else None for r, c in zip(right, per_class, strict=True))
    mean = float(weights @ macs)

    return Outcome(
        accuracy=float(weights @ correct),
        balanced_accuracy=float(np.mean([share for share in recall if share is not None])),
        recall=recall,
        macs=mean,
        saved=1 - mean / base_macs if base_macs else 0.0,
        loss=NO_LOSS if is_base else loss_of(table, correct, "accuracy"),
        balanced_loss=NO_LOSS if is_base else loss_of(table, correct, "balanced-accuracy"),
    )


def _split(table: ScoreTable, tables: Tables, policy: Policy, metric: Metric, static: int | None) -> SplitSummary:
    costs = tables.costs
    base_macs = int(costs.backbone[-1])
    evaluation = evaluate(table, costs, policy)
    everywhere = np.ones(len(table), np.int64)
    cut = table.exits if static is None else static
    cut_macs = base_macs if static is None else _static_macs(costs, static)
    confidences = table.confidences(policy.temperatures)
    passed = np.arange(table.exits)[:, None] <= evaluation.exit
    thresholds = limits_met(table, policy).astype(np.float64)
    # a margin may be large, and its error with it
    near = np.isfinite(thresholds) & (np.abs(confidences - thresholds) < NEAR * np.maximum(1, np.abs(thresholds)))
    near &= passed
    return SplitSummary(
        split=table.split,
        samples=len(table),
        groups=None if table.groups is None else len(np.unique(table.groups)),
        base=outcome(table, table.correct[-1], everywhere * base_macs, base_macs, is_base=True),
        eenn=outcome(table, evaluation.correct, evaluation.macs, base_macs, is_base=not policy.active.any()),
        static=outcome(table, table.correct[cut], everywhere * cut_macs, base_macs, is_base=static is None),
        exits=_rows(table, tables, policy, evaluation.exit, evaluation.correct),
        heads=_heads(table, tables, policy, metric),
        near_threshold=int(near.any(axis=0).sum()),
    )


def _heads(table: ScoreTable, tables: Tables, policy: Policy, metric: Metric) -> tuple[HeadRow, ...]:
    confidences = table.confidences(policy.temperatures)
    raw, scaled = table.probabilities((1.0,) * table.exits), table.probabilities(policy.temperatures)
    weights = table.sample_weights
    return tuple(
        HeadRow(
            exit=k,
            place=place,
            kept=bool(policy.active[k]),
            macs=_static_macs(tables.costs, k),
            accuracy=float(weights @ table.correct[k]),
            loss=loss_of(table, table.correct[k], metric),
            temperature=policy.temperatures[k],
            calibration_error_before=expected_calibration_error(raw[k], table.correct[k], weights),
            calibration_error=expected_calibration_error(scaled[k], table.correct[k], weights),
            tied=float(weights @ (confidences[k] == confidences[k].max())),
        )
        for k, place in enumerate(tables.places)
    )


def _rows(
    table: ScoreTable, tables: Tables, policy: Policy, exit: NDArray[np.int64], correct: NDArray[np.bool_]
) -> tuple[ExitRow, ...]:
    rows: list[ExitRow] = []
    weights = table.sample_weights
    stopping = tables.costs.stopping(policy.active)
    for k in range(table.exits + 1):
        last = k == table.exits
        if not last and not policy.active[k]:
            continue
        here = exit == k
        share = float(weights[here].sum())
        rows.append(
            ExitRow(
                exit=len(rows),
                place="classifier" if last else tables.places[k],
                share=share,
                threshold=None if last else policy.thresholds[k],
                temperature=None if last else policy.temperatures[k],
                accuracy=float(weights[here] @ correct[here]) / share if share > 0 else None,
                macs=int(stopping[k]),
                class_thresholds=() if last or not policy.class_thresholds else _finite(policy.class_thresholds[k]),
            )
        )
    return tuple(rows)


def _finite(thresholds: tuple[float, ...]) -> tuple[float | None, ...]:
    return tuple(None if math.isinf(t) else t for t in thresholds)
