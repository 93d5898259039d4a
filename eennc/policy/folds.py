"""Policies on samples that had no part in choosing them: cross-validation inside the calibration data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.evaluate import evaluate
from eennc.policy.table import Costs, Ints, Policy, ScoreTable

FOLDS = 5
FEWEST_SAMPLES, FEWEST_GROUPS = 40, 3
"""Fewer than these are not divided into folds."""


@dataclass(frozen=True)
class OutOfFold:
    """What policies do on samples that did not choose them: bool [n], int64 [n]."""

    correct: NDArray[np.bool_]
    macs: Ints

    def saved(self, table: ScoreTable, costs: Costs) -> float:
        """The share of the base network's cost that is saved."""
        return 1 - float(table.sample_weights @ self.macs) / max(int(costs.backbone[-1]), 1)


def too_few(table: ScoreTable) -> str:
    """Why the table cannot be divided into folds; empty where it can."""
    groups = FEWEST_GROUPS if table.groups is None else len(np.unique(table.groups))
    if len(table) < FEWEST_SAMPLES:
        return f"{len(table)} samples are too few for cross-validation"
    return f"{groups} groups are too few for cross-validation" if groups < FEWEST_GROUPS else ""


def folds_of(table: ScoreTable, seed: int) -> Ints:
    """The fold of each sample, int64 [n], drawn from `seed`: whole groups where the table has groups, else class by
    class.
    """
    random = np.random.default_rng(seed)
    if table.groups is not None:
        names, number = np.unique(table.groups, return_inverse=True)
        fold = np.empty(len(names), np.int64)
        fold[random.permutation(len(names))] = np.arange(len(names)) % FOLDS
        return fold[number]
    fold = np.empty(len(table), np.int64)
    dealt = np.concatenate([random.permutation(np.flatnonzero(table.labels == c)) for c in range(table.classes)])
    fold[dealt] = np.arange(len(table)) % FOLDS
    return fold


def out_of_fold(table: ScoreTable, costs: Costs, fold: Ints, fit: Callable[[int, ScoreTable], Policy]) -> OutOfFold:
    """Let each fold's samples stop where the policy says that the others chose: fit(fold, the others)."""
    correct, macs = np.empty(len(table), bool), np.empty(len(table), np.int64)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        found = evaluate(table.rows(rows), costs, fit(int(number), table.rows(np.flatnonzero(fold != number))))
        correct[rows], macs[rows] = found.correct, found.macs
    return OutOfFold(correct, macs)
