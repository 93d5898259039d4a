"""A threshold per exit: what the exact solver and coordinate descent share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.problem import Problem, excess, grid_of, levels_of, lose, tally
from eennc.policy.table import Ints


@dataclass(frozen=True)
class Grids:
    """A rising grid of thresholds per exit.

    thresholds: float32 [K, T + 1], rows filled up with inf, whose last entry takes the exit out. levels: int32 [K, n],
    how many thresholds of its exit's grid each confidence reaches.
    """

    thresholds: NDArray[np.float32]
    levels: NDArray[np.int32]

    def values(self, indices: Ints) -> tuple[float, ...]:
        """The thresholds at `indices` [K]."""
        return tuple(float(self.thresholds[k, i]) for k, i in enumerate(indices))

    def indices(self, thresholds: Sequence[float]) -> Ints:
        """The indices [K] of thresholds that stand in the grids; inf is the last."""
        found = [np.searchsorted(row, np.float32(t)) for row, t in zip(self.thresholds, thresholds, strict=True)]
        return np.where(np.isinf(thresholds), self.never, np.array(found, np.int64))

    @property
    def never(self) -> int:
        """The index that takes an exit out."""
        return self.thresholds.shape[1] - 1


def grids(problem: Problem, steps: int, *more: Sequence[float]) -> Grids:
    """Grids of `steps` thresholds per exit at midpoints between observed confidences, and those of `more` policies [K],
    so that no solver does worse on the grid than they do.
    """
    rows: list[NDArray[np.float32]] = []
    for k, confidences in enumerate(problem.confidences):
        added = np.array([policy[k] for policy in more if np.isfinite(policy[k])], np.float32)
        rows.append(np.unique(np.concatenate([grid_of(confidences, steps), added])))
    thresholds = np.full((len(rows), max(len(row) for row in rows) + 1), np.inf, np.float32)
    for k, row in enumerate(rows):
        thresholds[k, : len(row)] = row
    levels = np.stack([levels_of(c, row) for c, row in zip(problem.confidences, rows, strict=True)])
    return Grids(thresholds, levels)


@compiled
def policy_value(problem: Problem, levels: NDArray[Any], never: int, indices: Ints) -> tuple[float, float]:
    """Mean cost of the thresholds at `indices` [K], and the most by which a limit is exceeded. Without any exit the
    network is the base network and loses nothing, for certain.
    """
    exits, n = levels.shape
    sums = tally(problem, 1)
    active = indices < never
    if not active.any():
        return float(problem.backbone[exits]), -problem.limits.min()
    for s in range(n):
        heads = 0.0
        stop = exits
        for k in range(exits):
            if active[k]:
                heads += problem.head[k]
                if levels[k, s] > indices[k]:
                    stop = k
                    break
        sums.cost[0] += problem.share[s] * (problem.backbone[stop] + heads)
        lose(problem, sums, 0, s, stop, 1)
    return sums.cost[0], excess(problem, sums, 0)


@compiled
def without_idle(levels: NDArray[Any], never: int, indices: Ints) -> Ints:
    """The same thresholds without the exits at which no sample stops: cheaper, and nothing else changes."""
    exits, n = levels.shape
    stops = np.zeros(exits, np.int64)
    for s in range(n):
        for k in range(exits):
            if levels[k, s] > indices[k]:
                stops[k] += 1
                break
    return np.where(stops > 0, indices, never)
