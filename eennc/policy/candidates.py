"""The part of calibration that chooses, and the candidates that it orders from the most careful to the cheapest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from eennc.policy.certificate import Guarantee
from eennc.policy.evaluate import evaluate
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
Fit = Callable[[ScoreTable, float, Policy | None], Policy]
"""Solves on a table under a limit on the loss; from the policy of another limit, where there is one, with its
temperatures."""


def divide(table: ScoreTable, metric: Metric, seed: int) -> tuple[Ints, Ints]:
    """The samples that order candidates and those that certify, int64 [a], [b], drawn at random from `seed`.

    By whole groups where the table has groups; else for balanced accuracy class by class, where tests take the number
    of samples of each class as given; else from all samples alike: with as many of each class in either part, the parts
    would not be independent samples of the population.
    """
    random = np.random.default_rng(seed)
    if table.groups is not None:
        names = random.permutation(np.unique(table.groups))
        first = np.isin(table.groups, names[: share_of(len(names))])
    else:
        first = np.zeros(len(table), bool)
        strata = table.labels if metric == "balanced-accuracy" else np.zeros(len(table), np.int64)
        for stratum in np.unique(strata):
            rows = random.permutation(np.flatnonzero(strata == stratum))
            first[rows[: share_of(len(rows))]] = True
    return np.flatnonzero(first), np.flatnonzero(~first)


def share_of(count: int) -> int:
    """How many of so many units go to the ordering part: none of one, at least one of more."""
    return min(max(round(ORDERING * count), 1), count - 1)


def candidates(part: ScoreTable, costs: Costs, epsilon: float, fit: Fit) -> Iterator[Policy]:
    """Policies that are cheaper one than the other on `part`, the most careful first, all with exits. They are solved
    for as they are asked for: tests end before most of them.
    """
    policy: Policy | None = None
    least = float(costs.backbone[-1])
    for factor in FRONT:
        policy = fit(part, min(factor * epsilon, 1.0), policy)
        macs = float(part.sample_weights @ evaluate(part, costs, policy).macs)
        if policy.active.any() and macs < least:
            least = macs
            yield policy


def pays(part: ScoreTable, costs: Costs, policy: Policy) -> bool:
    """Whether the policy costs less than the network without exits: heads that seldom stop a sample may not."""
    return float(part.sample_weights @ evaluate(part, costs, policy).macs) < float(costs.backbone[-1])


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
            first = int(np.searchsorted(values, np.float32(policy.thresholds[int(pool[0])])))
            raised = first + int((1 - share) * (len(values) - first))
            if first < raised < len(values):
                below = values[raised] if part.rule == "patience" else values[raised - 1]
                for k in pool.tolist():
                    thresholds[k] = float((below + values[raised]) / np.float32(2))
        found.append(dataclasses.replace(policy, thresholds=tuple(thresholds)))
    return found


def levels_of(part: ScoreTable, policy: Policy, guarantee: Guarantee) -> NDArray[np.float32]:
    """The shared thresholds that the policy's exits can be given, falling, from the part's confidences. Raises
    UserError where the policy has a threshold per exit.
    """
    if not policy.shared:
        raise UserError(
            f"method {guarantee.method} lowers one shared threshold, and these are one per exit",
            hint="take method ltt, or thresholds: shared",
        )
    confidences = part.confidences(policy.temperatures)[policy.active]
    if part.rule == "patience":
        return np.unique(confidences)[::-1]  # whole numbers
    from eennc.policy.solvers.problem import grid_of  # numba is slow to import

    return grid_of(confidences, STEPS)[::-1]


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
