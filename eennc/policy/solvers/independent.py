"""The paper's method as a baseline: a grid of 13 thresholds per exit, exits taken as independent (arXiv 2403.07957)."""

from __future__ import annotations

import numpy as np

from eennc.policy.compiled import compiled
from eennc.policy.solvers.problem import Problem
from eennc.policy.statistics import SLACK
from eennc.policy.table import Floats, Ints

STEPS = 13
PRICES = 64
"""Prices of a unit of loss that are tried; the lowest that makes the believed loss keep the limit is taken."""


def paper_grid(classes: int) -> Floats:
    """13 thresholds from the confidence of a guess to 1, evenly spaced; float64 [13]."""
    return np.linspace(1 / classes, 1, STEPS)


def solve_independent(problem: Problem, classes: int) -> tuple[float, ...]:
    """Thresholds [K], inf for an exit that is left out; of the limits only the first is looked at.

    Each exit's stopping rate and regret are taken over ALL samples, as if those that come by were like them; then a
    shortest path gives the policy of least cost + price * loss. What it believes is not what happens: the table has to
    be evaluated jointly afterwards, and may show that the limit is broken.
    """
    grid = paper_grid(classes)
    fires = problem.confidences[:, None, :] >= grid.astype(np.float32)[None, :, None]
    rate = np.stack([row @ problem.share for row in fires])
    regret = np.stack([row @ (problem.weights[0] * lost) for row, lost in zip(fires, problem.lost[:-1], strict=True)])
    steps = np.diff(problem.backbone, prepend=0.0)
    prices = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, PRICES)]) * problem.backbone[-1]
    for price in prices:
        choice, _, loss = program(rate, regret, steps, problem.head, price)
        if loss <= problem.limits[0] + SLACK:
            return tuple(float(grid[c]) if c < STEPS else float("inf") for c in choice)
    return (float("inf"),) * problem.exits


@compiled
def program(rate: Floats, regret: Floats, steps: Floats, head: Floats, price: float) -> tuple[Ints, float, float]:
    """The choice [K] (T leaves the exit out), and the mean cost and loss that it is believed to have.

    A dynamic program from the last exit back: what lies behind an exit counts by the share that it lets pass, whoever
    that is. rate, regret: [K, T], share stopped and loss made by an exit's threshold over all samples. steps: [K + 1],
    the backbone's MACs to each exit from the one before.
    """
    exits, thresholds = rate.shape
    choice = np.zeros(exits, np.int64)
    cost, loss = float(steps[exits]), 0.0
    for k in range(exits - 1, -1, -1):
        best, chosen = cost + price * loss, thresholds
        best_cost, best_loss = cost, loss
        for t in range(thresholds):
            new_cost = head[k] + (1 - rate[k, t]) * cost
            new_loss = regret[k, t] + (1 - rate[k, t]) * loss
            if new_cost + price * new_loss < best:
                best, chosen = new_cost + price * new_loss, t
                best_cost, best_loss = new_cost, new_loss
        choice[k] = chosen
        cost, loss = best_cost + steps[k], best_loss
    return choice, cost, loss
