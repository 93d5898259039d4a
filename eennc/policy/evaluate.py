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


def exits_taken(confidences: NDArray[np.float32], thresholds: tuple[float, ...]) -> Ints:
    """The first exit whose confidence [K, n] is at least its threshold, in float32; K where none is. int64 [n]."""
    fires = confidences >= np.asarray(thresholds, np.float32)[:, None]
    last = np.ones((1, confidences.shape[1]), bool)
    return np.concatenate([fires, last]).argmax(axis=0)


def evaluate(table: ScoreTable, costs: Costs, policy: Policy) -> Evaluation:
    """Let every sample of the table stop where the policy says."""
    exit = exits_taken(table.confidences(policy.temperatures), policy.thresholds)
    samples = np.arange(len(table))
    return Evaluation(exit, table.correct[exit, samples], costs.stopping(policy.active)[exit])
