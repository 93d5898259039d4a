"""How much thresholds flatter themselves on the samples that chose them, by the number of those samples.

    python benchmarks/real_tables.py TABLES
    python benchmarks/threshold_optimism.py TABLES [--draws 40]       # some minutes

Calibration sets of each size are drawn from both splits together, without replacement; the rest is new data. Optimism
is the loss on new data less that on calibration, both of the policy that calibration chose.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from real_tables import load_tables

from eennc.policy.achieved import achieved
from eennc.policy.choice import Family
from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.solve import solve
from eennc.policy.statistics import Metric, Statistic, loss_of
from eennc.policy.summary import recommended_samples
from eennc.policy.table import ScoreTable, Tables

SIZES = (200, 500, 1000, 2000, 4000, 8000)
LIMIT = 0.01
HEADINGS = (
    "family, limit on",
    "calibration",
    "optimism, points",
    "loss on new data",
    "above the limit",
    "saved",
    "report asks for",
)
KINDS: tuple[tuple[Family, Statistic], ...] = (("shared", "point"), ("per-exit", "point"), ("shared", "upper95"))


def pooled(tables: Tables) -> ScoreTable:
    """All samples, without groups: they are drawn one by one."""
    assert tables.test is not None
    parts = tables.calibration, tables.test
    return ScoreTable(
        "pool",
        np.concatenate([part.scores for part in parts], axis=1),
        np.concatenate([part.labels for part in parts]),
        tables.calibration.kind,
    )


def row(pool: ScoreTable, tables: Tables, size: int, family: Family, goal: Goal, draws: int) -> str:
    """One row of the table."""
    found: list[tuple[float, float, float, float]] = []
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(len(pool))
        chosen, new = pool.rows(order[:size]), pool.rows(order[size:])
        policy = solve(chosen, tables.costs, goal, family=family, thorough=False)
        here, there = achieved(chosen, tables.costs, policy, goal), achieved(new, tables.costs, policy, goal)
        loss = loss_of(chosen, evaluate(chosen, tables.costs, policy).correct, goal.metric)
        wanted = recommended_samples(loss, size, LIMIT)
        found.append((there.point_loss - here.point_loss, there.point_loss, 1 - there.mean, wanted))
    optimism, loss, saved, wanted = (np.array(column) for column in zip(*found, strict=True))
    error = optimism.std(ddof=1) / np.sqrt(draws)
    cells = (
        f"{family}, {goal.statistic}",
        f"{size:,}",
        f"{100 * optimism.mean():+.2f} +- {100 * error:.2f}",
        f"{100 * loss.mean():.2f}",
        f"{100 * (loss > LIMIT).mean():.0f} %",
        f"{100 * saved.mean():.1f} %",
        f"{np.median(wanted):,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=40)
    given = parser.parse_args()
    for path in sorted(given.folder.glob("*.npz")):
        tables = load_tables(path)
        pool = pooled(tables)
        metric: Metric = "balanced-accuracy" if path.stem == "ecg" else "accuracy"
        print(f"\n{path.stem}: {pool.exits} exits, {len(pool):,} samples, 1 point of {metric}, {given.draws} draws")
        print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}", flush=True)
        for family, statistic in KINDS:
            for size in SIZES:
                if size <= 0.6 * len(pool):
                    goal = Goal(LIMIT, metric, statistic)
                    print(row(pool, tables, size, family, goal, given.draws), flush=True)


if __name__ == "__main__":
    main()
