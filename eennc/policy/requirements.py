"""Requirements on the result: what the user asks of accuracy and cost, and whether a policy meets it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eennc.policy.evaluate import evaluate
from eennc.policy.statistics import NO_LOSS, Metric, Statistic, loss_of, metric_weights, quantiles
from eennc.policy.table import Floats, Policy, ScoreTable, Tables

Quantity = Literal["accuracy_drop", "balanced_accuracy_drop", "accuracy", "balanced_accuracy", "mean_macs"]
SplitName = Literal["calibration", "test"]
_METRIC: dict[str, Metric] = {"balanced_accuracy": "balanced-accuracy", "balanced_accuracy_drop": "balanced-accuracy"}


@dataclass(frozen=True)
class Requirement:
    """A limit on a quantity: `max`, or `min` for accuracies; shares, so 0.01 is one point of accuracy.

    mean_macs is relative to the base network. statistic: `point`, or `upper95`, by which the one-sided 95 % bound on
    the bad side must keep the limit too.
    """

    quantity: Quantity
    limit: float
    split: SplitName = "test"
    statistic: Statistic = "point"

    @property
    def at_least(self) -> bool:
        """Whether the limit is a minimum."""
        return self.quantity in ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Verdict:
    """A requirement judged on `samples` samples. [lower, upper] is the 95 % interval, `bound` the one-sided one on the
    bad side.
    """

    requirement: Requirement
    met: bool
    value: float
    lower: float
    upper: float
    bound: float
    samples: int


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error; `least` is the smallest half width of the two intervals (two-, one-sided)."""

    value: float
    standard_error: float
    least: tuple[float, float] = (0.0, 0.0)


def judge(requirement: Requirement, tables: Tables, policy: Policy) -> Verdict:
    """Evaluate a policy against a requirement; raises ValueError where the split's table is missing."""
    table = tables.calibration if requirement.split == "calibration" else tables.test
    if table is None:
        raise ValueError(f"there is no table of the {requirement.split} split")
    evaluation = evaluate(table, tables.costs, policy)
    metric = _METRIC.get(requirement.quantity, "accuracy")
    if requirement.quantity.endswith("_drop"):
        loss = loss_of(table, evaluation.correct, metric) if policy.active.any() else NO_LOSS
        point, lower, upper, bound = loss.point, loss.lower, loss.upper, loss.upper95
    else:
        estimate = (
            relative_macs(table, evaluation.macs, int(tables.costs.backbone[-1]))
            if requirement.quantity == "mean_macs"
            else accuracy(table, evaluation.correct, metric)
        )
        two_sided, one_sided = quantiles(table.groups)
        half = max(two_sided * estimate.standard_error, estimate.least[0])
        half95 = max(one_sided * estimate.standard_error, estimate.least[1])
        point, lower, upper = estimate.value, estimate.value - half, estimate.value + half
        bound = point - half95 if requirement.at_least else point + half95
        if requirement.quantity != "mean_macs":
            point, lower, upper, bound = (min(max(value, 0.0), 1.0) for value in (point, lower, upper, bound))
    judged = point if requirement.statistic == "point" else bound
    met = judged >= requirement.limit - 1e-9 if requirement.at_least else judged <= requirement.limit + 1e-9
    return Verdict(requirement, bool(met), point, lower, upper, bound, len(table))


def relative_macs(table: ScoreTable, macs: NDArray[np.int64] | Floats, base: int) -> Estimate:
    """Mean MACs per sample over those of the base network, from the MACs of each sample ([n])."""
    relative = macs / max(base, 1)
    weights = table.sample_weights
    mean = float(weights @ relative)
    return Estimate(mean, _error(weights * (relative - mean), table.groups))


def accuracy(table: ScoreTable, correct: NDArray[np.bool_], metric: Metric) -> Estimate:
    """Plain or balanced accuracy, from whether each sample is right (bool [n]).

    Without any error, or any hit, the half width is that of the rule of three, -ln(0.05) / n with n = 1 / sum of
    weights^2.
    """
    weights = metric_weights(table, metric)
    values = correct.astype(np.float64)
    mean = float(weights @ values)
    centre = np.full(len(values), mean)
    if metric == "balanced-accuracy":
        per_class = np.bincount(table.labels, weights, table.classes)
        recall = np.bincount(table.labels, weights * values, table.classes) / np.where(per_class > 0, per_class, 1)
        centre = recall[table.labels]
    share = float((weights**2).sum())
    least = (-math.log(0.025) * share, -math.log(0.05) * share)
    return Estimate(mean, _error(weights * (values - centre), table.groups), least)


def _error(parts: Floats, groups: NDArray[np.int64] | None) -> float:
    """Standard error of a sum of centred parts; with two groups or more cluster-robust, as in `paired_loss`."""
    clusters = 0 if groups is None else len(np.unique(groups))
    if groups is not None and clusters >= 2:
        sums = np.bincount(np.unique(groups, return_inverse=True)[1], parts)
        return math.sqrt(float((sums**2).sum()) * clusters / (clusters - 1))
    return math.sqrt(float((parts**2).sum()))
