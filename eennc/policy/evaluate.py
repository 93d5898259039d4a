"""What a policy does on a table: everything is counted on the joint table of samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.table import Costs, Ints, Policy, ScoreTable


@dataclass(frozen=True)
class Evaluation:
    """`exit` int64 [n]: where each sample stops, K for the last classifier. `correct` bool [n]. `macs` int64 [n]."""

    exit: Ints
    correct: NDArray[np.bool_]
    macs: Ints


def exits_taken(confidences: NDArray[np.float32], thresholds: NDArray[np.float32]) -> Ints:
    """First exit whose confidence [K, n] is at least its threshold, [K, n] or [K, 1]; K where none is: int64 [n]."""
    last = np.ones((1, confidences.shape[1]), bool)
    return np.concatenate([confidences >= thresholds, last]).argmax(axis=0)


def limits_met(table: ScoreTable, policy: Policy) -> NDArray[np.float32]:
    """What each sample's confidence must reach at each exit, float32 [K, n], or [K, 1] where that is one for all."""
    limits = np.asarray(policy.thresholds, np.float32)[:, None]
    if not policy.class_thresholds:
        return limits
    by_class = np.asarray(policy.class_thresholds, np.float32)
    return np.maximum(limits, np.take_along_axis(by_class, table.named[:-1], axis=1))


def evaluate(table: ScoreTable, costs: Costs, policy: Policy) -> Evaluation:
    """Let every sample of the table stop where the policy says."""
    exit = exits_taken(table.confidences(policy.temperatures), limits_met(table, policy))
    samples = np.arange(len(table))
    return Evaluation(exit, table.correct[exit, samples], costs.stopping(policy.active)[exit])
