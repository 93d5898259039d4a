"""What the report says: the early-exit network against the base network and against the best static cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.evaluate import evaluate
from eennc.policy.statistics import Loss, Metric, Statistic, metric_weights, paired_loss
from eennc.policy.table import Costs, Policy, ScoreTable, Tables

NEAR = 1e-4
"""A confidence this near to its threshold may fall on the other side in another runtime's float arithmetic."""
LIMITS = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05)
"""Limits of the trade-off curve."""


@dataclass(frozen=True)
class ExitRow:
    """One exit of the artefact, or (`exit` = number of exits) the last classifier.

    share: of the samples that stop here; accuracy: of those, None where there are none; macs: of a sample that stops
    here.
    """

    exit: int
    place: str
    share: float
    threshold: float | None
    temperature: float | None
    accuracy: float | None
    macs: int


@dataclass(frozen=True)
class Outcome:
    """What a network achieves on a split. macs: mean per sample. saved: share of the base network's MACs. recall: per
    class, None where the split has none of it. loss: in the metric of the limit, against the base network.
    """

    accuracy: float
    balanced_accuracy: float
    recall: tuple[float | None, ...]
    macs: float
    saved: float
    loss: Loss


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
    near_threshold: int


@dataclass(frozen=True)
class CurvePoint:
    """What a limit would give: chosen on calibration, the loss and the saving on both splits."""

    limit: float
    exits: int
    calibration_loss: float
    calibration_saved: float
    test_loss: float | None
    test_saved: float | None


@dataclass(frozen=True)
class Summary:
    """The whole result. static_place: where the best static cut ends, None for the whole network."""

    metric: Metric
    limit: float
    statistic: Statistic
    solver: str
    static_place: str | None
    calibration: SplitSummary
    test: SplitSummary | None
    curve: tuple[CurvePoint, ...]


def summarise(
    tables: Tables,
    policy: Policy,
    metric: Metric,
    limit: float,
    statistic: Statistic,
    solve_for: Callable[[float], Policy],
) -> Summary:
    """Evaluate a policy on both splits; `solve_for(limit)` gives the policies of the trade-off curve.

    The best static cut is the cheapest network truncated at one exit, among all that were trained, whose loss on
    calibration keeps the limit.
    """
    static = static_cut(tables, metric, limit, statistic)
    splits = [
        None if table is None else _split(table, tables, policy, metric, static)
        for table in (tables.calibration, tables.test)
    ]
    assert splits[0] is not None
    return Summary(
        metric=metric,
        limit=limit,
        statistic=statistic,
        solver=policy.solver,
        static_place=None if static is None else tables.places[static],
        calibration=splits[0],
        test=splits[1],
        curve=tuple(_point(tables, solve_for(at), metric, at) for at in LIMITS),
    )


def static_cut(tables: Tables, metric: Metric, limit: float, statistic: Statistic) -> int | None:
    """The exit at which the best static cut ends, or None for the whole network. Chosen on calibration."""
    table = tables.calibration
    weights = metric_weights(table, metric)
    best, least = None, int(tables.costs.backbone[-1])
    for k in range(table.exits):
        macs = _static_macs(tables.costs, k)
        loss = paired_loss(table.correct[-1], table.correct[k], weights, table.groups)
        if macs < least and loss.of(statistic) <= limit + 1e-9:
            best, least = k, macs
    return best


def _static_macs(costs: Costs, exit: int) -> int:
    return int(costs.backbone[exit] + costs.head[exit])


def outcome(
    table: ScoreTable, correct: NDArray[np.bool_], macs: NDArray[np.int64], base_macs: int, metric: Metric
) -> Outcome:
    """What a network with these answers (bool [n]) and costs (int64 [n]) achieves."""
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
        loss=paired_loss(table.correct[-1], correct, metric_weights(table, metric), table.groups),
    )


def _split(table: ScoreTable, tables: Tables, policy: Policy, metric: Metric, static: int | None) -> SplitSummary:
    costs = tables.costs
    base_macs = int(costs.backbone[-1])
    evaluation = evaluate(table, costs, policy)
    everywhere = np.ones(len(table), np.int64)
    cut = table.exits if static is None else static
    cut_macs = base_macs if static is None else _static_macs(costs, static)
    confidences = table.confidences(policy.temperatures)
    thresholds = np.array(policy.thresholds)[:, None]
    passed = np.arange(table.exits)[:, None] <= evaluation.exit
    near = (np.abs(confidences - thresholds) < NEAR) & passed
    return SplitSummary(
        split=table.split,
        samples=len(table),
        groups=None if table.groups is None else len(np.unique(table.groups)),
        base=outcome(table, table.correct[-1], everywhere * base_macs, base_macs, metric),
        eenn=outcome(table, evaluation.correct, evaluation.macs, base_macs, metric),
        static=outcome(table, table.correct[cut], everywhere * cut_macs, base_macs, metric),
        exits=_rows(table, tables, policy, evaluation.exit, evaluation.correct),
        near_threshold=int(near.any(axis=0).sum()),
    )


def _rows(
    table: ScoreTable, tables: Tables, policy: Policy, exit: NDArray[np.int64], correct: NDArray[np.bool_]
) -> tuple[ExitRow, ...]:
    rows: list[ExitRow] = []
    weights = table.sample_weights
    stopping = tables.costs.stopping(policy.active)
    for k in range(table.exits + 1):
        last = k == table.exits
        if not last and math.isinf(policy.thresholds[k]):
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
            )
        )
    return tuple(rows)


def _point(tables: Tables, policy: Policy, metric: Metric, limit: float) -> CurvePoint:
    found: list[tuple[float, float] | None] = []
    base = int(tables.costs.backbone[-1])
    for table in (tables.calibration, tables.test):
        if table is None:
            found.append(None)
            continue
        evaluation = evaluate(table, tables.costs, policy)
        result = outcome(table, evaluation.correct, evaluation.macs, base, metric)
        found.append((result.loss.point, result.saved))
    calibration, test = found
    assert calibration is not None
    return CurvePoint(
        limit=limit,
        exits=int(policy.active.sum()),
        calibration_loss=calibration[0],
        calibration_saved=calibration[1],
        test_loss=None if test is None else test[0],
        test_saved=None if test is None else test[1],
    )
