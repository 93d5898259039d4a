"""The paper's method as a baseline: a grid of 13 thresholds per exit, exits taken as independent (arXiv 2403.07957)."""

from __future__ import annotations

import numpy as np

from eennc.policy.compiled import compiled
from eennc.policy.solvers.problem import Problem
from eennc.policy.table import Floats

STEPS = 13
PRICES = 64
"""Prices of a unit of loss that are tried; the dearest that is needed keeps the limit."""


def paper_grid(classes: int) -> Floats:
    """13 thresholds from the confidence of a guess to 1, evenly spaced; float64 [13]."""
    return np.linspace(1 / classes, 1, STEPS)


def solve_independent(problem: Problem, classes: int) -> tuple[float, ...]:
    """Thresholds [K], inf for an exit that is left out.

    Each exit's stopping rate and regret are taken over ALL samples, as if those that come by were like them. Under that
    belief a dynamic program from the last exit back minimises cost + price * loss; the lowest price whose believed loss
    keeps the limit is taken. What it believes is not what happens: the table is evaluated jointly afterwards.
    """
    grid = paper_grid(classes)
    fires = problem.confidences[:, None, :] >= grid.astype(np.float32)[None, :, None]
    rate = fires @ problem.share
    regret = np.einsum("ktn,kn->kt", fires, problem.regret[:-1])
    steps = np.diff(problem.backbone, prepend=0.0)
    prices = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, PRICES)]) * problem.backbone[-1]
    for price in prices:
        choice, _, loss = _program(rate, regret, steps, problem.head, price)
        if loss <= problem.limit:
            return tuple(float(grid[c]) if c < STEPS else float("inf") for c in choice)
    return (float("inf"),) * problem.exits


@compiled
def _program(rate: Floats, regret: Floats, steps: Floats, head: Floats, price: float) -> tuple[Floats, float, float]:
    """The choice [K] (STEPS leaves the exit out), and the cost and loss it believes in, per sample at the input.

    rate, regret: [K, T], of an exit's threshold over all samples. steps: the backbone's MACs to each exit from the one
    before, [K + 1].
    """
    exits, thresholds = rate.shape
    choice = np.zeros(exits)
    cost, loss = float(steps[exits]), 0.0
    for k in range(exits - 1, -1, -1):
        best = cost + price * loss
        best_cost, best_loss, chosen = cost, loss, thresholds
        for t in range(thresholds):
            new_cost = head[k] + (1 - rate[k, t]) * cost
            new_loss = regret[k, t] + (1 - rate[k, t]) * loss
            if new_cost + price * new_loss < best:
                best = new_cost + price * new_loss
                best_cost, best_loss, chosen = new_cost, new_loss, t
        choice[k] = chosen
        cost, loss = best_cost + steps[k], best_loss
    return choice, cost, loss
