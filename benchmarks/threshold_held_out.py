"""Limits that held-out samples keep, against limits on calibration alone: random re-splits of the real tables.

    python benchmarks/real_tables.py TABLES
    python benchmarks/threshold_held_out.py TABLES speech:1200 resnet20:2500 --splits 40      # minutes each

Calibration sets of a size are drawn from both splits together, without replacement and without regard to groups; the
rest is new data. Families of thresholds are chosen under `held-out95` and, for comparison, one threshold under
`upper95`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from real_tables import load_tables
from threshold_optimism import pooled

from eennc.policy.choice import FAMILIES, Family
from eennc.policy.evaluate import evaluate
from eennc.policy.families import Comparison, Settings
from eennc.policy.goal import Goal
from eennc.policy.solve import solve
from eennc.policy.statistics import Metric, loss_of
from eennc.policy.table import Costs, ScoreTable

LIMIT, MIN_GAIN = 0.01, 0.005
HEADINGS = ("", "MACs saved, %", "loss, points", "limit broken, %")


def outcome(
    chosen: ScoreTable, new: ScoreTable, costs: Costs, goal: Goal, family: Family, share: float | None
) -> tuple[float, float]:
    """Loss and saving on new data of thresholds chosen under a share of the limit; none where that is None."""
    if share is None:
        return 0.0, 0.0
    solver = "descent" if family == "per-exit" else "auto"
    policy = solve(chosen, costs, goal.losing(share), family=family, solver=solver, min_gain=MIN_GAIN, thorough=False)
    found = evaluate(new, costs, policy)
    loss = loss_of(new, found.correct, goal.metric).point if policy.active.any() else 0.0
    return loss, 1 - float(new.sample_weights @ found.macs) / float(costs.backbone[-1])


def re_split(pool: ScoreTable, costs: Costs, size: int, goal: Goal, seed: int) -> dict[str, tuple[float, float]]:
    """What each way of choosing does on the samples that it did not see."""
    order = np.random.default_rng(seed).permutation(len(pool))
    chosen, new = pool.rows(order[:size]), pool.rows(order[size:])
    comparison = Comparison(chosen, costs, goal, Settings(min_gain=MIN_GAIN, seed=seed))
    choice = comparison.choose(FAMILIES)
    return {
        "one threshold, upper95": outcome(chosen, new, costs, goal, "shared", 1.0),
        # a family that is asked for is the only one to choose from
        **{f: outcome(chosen, new, costs, goal, f, comparison.kept(f, (f,))[0]) for f in FAMILIES},
        "auto": outcome(chosen, new, costs, goal, choice.family, choice.share),
    }


def main() -> None:
    """Print a table per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", nargs="+", metavar="NAME:SAMPLES")
    parser.add_argument("--splits", type=int, default=40)
    given = parser.parse_args()
    for task in given.tasks:
        name, size = task.split(":")
        tables = load_tables(given.folder / f"{name}.npz")
        metric: Metric = "balanced-accuracy" if name == "ecg" else "accuracy"
        goal = Goal(LIMIT, metric, "upper95", held_out=True)
        rows = [re_split(pooled(tables), tables.costs, int(size), goal, seed) for seed in range(given.splits)]
        print(f"\n{name}, {metric}, {int(size):,} calibration samples, {given.splits} re-splits")
        print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
        for kind in ("one threshold, upper95", *FAMILIES, "auto"):
            loss, saved = (100 * np.array([row[kind][i] for row in rows]) for i in (0, 1))
            broken = 100.0 * (loss > 100 * LIMIT)
            cells = (f"{one.mean():.1f} ± {one.std(ddof=1) / np.sqrt(len(one)):.1f}" for one in (saved, loss, broken))
            print(f"| {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
