"""Tied thresholds against brute force over small grids, which knows `evaluate` and `loss_of` alone."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_tables import made_costs, made_table

from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.solve import Family, solve
from eennc.policy.solvers.problem import SLACK, grid_of
from eennc.policy.solvers.tied import FEWEST
from eennc.policy.statistics import Metric, Statistic, loss_of
from eennc.policy.table import Costs, Policy, ScoreTable

INF = float("inf")
tables = st.builds(
    made_table,
    exits=st.integers(1, 4),
    samples=st.integers(10, 300),
    classes=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    noise=st.sampled_from([0.0, 1.0, 3.0]),
    groups=st.sampled_from([0, 0, 5]),
    weighted=st.booleans(),
    probabilities=st.booleans(),
)
limits = st.sampled_from([0.0, 0.02, 0.1, 0.3])
metrics = st.sampled_from(["accuracy", "balanced-accuracy"])
statistics = st.sampled_from(["point", "upper95"])
tied = st.sampled_from(["grouped", "per-class"])


def macs(table: ScoreTable, costs: Costs, policy: Policy) -> float:
    return float(table.sample_weights @ evaluate(table, costs, policy).macs)


def keeps(table: ScoreTable, costs: Costs, policy: Policy, goal: Goal) -> bool:
    if not policy.active.any():
        return True
    return loss_of(table, evaluate(table, costs, policy).correct, goal.metric).of(goal.statistic) <= (
        goal.limits[0].limit + SLACK
    )


@settings(max_examples=35)
@given(tables, tied, limits, metrics, statistics, st.booleans(), st.sampled_from([0.0, 0.01]))
def test_never_worse_than_shared_and_keeps_the_limit(
    table: ScoreTable, family: Family, limit: float, metric: Metric, by: Statistic, thorough: bool, min_gain: float
) -> None:
    costs, goal = made_costs(table.exits, head=30), Goal(limit, metric, by)
    toll = min_gain * float(costs.backbone[-1])

    def cost(policy: Policy) -> float:
        return macs(table, costs, policy) + toll * policy.active.sum()

    shared = solve(table, costs, goal, min_gain=min_gain, thorough=thorough)
    found = solve(table, costs, goal, family=family, min_gain=min_gain, thorough=thorough)
    assert keeps(table, costs, found, goal)
    assert cost(found) <= cost(shared) * (1 + 1e-9)
    if family == "grouped":
        rising = [t for t in found.thresholds if t < INF]
        assert len(list(itertools.groupby(rising))) <= 2
    else:
        rows = {row for row, stays in zip(found.class_thresholds, found.active, strict=True) if stays}
        assert len(rows) <= 1


@settings(max_examples=15)
@given(tables, tied, st.integers(1, 2))
def test_limits_on_exits_are_kept(table: ScoreTable, family: Family, most: int) -> None:
    costs = made_costs(table.exits, head=200)
    goal = Goal(limit=0.3, worst=1.05)
    found = solve(table, costs, goal, family=family, max_exits=most)
    assert found.active.sum() <= most
    assert costs.head[found.active].sum() <= 0.05 * costs.backbone[-1]


def coarse(table: ScoreTable, values: int = 4) -> ScoreTable:
    """With few confidences, so that all thresholds can be tried."""
    top = np.sort(table.scores, axis=2)[:, :, -1:]
    rounded = np.where(table.scores == top, np.round(top / top.max() * values), 0).astype(np.float32)
    return replace(table, scores=rounded)


def grouped_policies(table: ScoreTable, steps: list[float]) -> Iterator[Policy]:
    ones = (1.0,) * table.exits
    for kept in itertools.product([False, True], repeat=table.exits):
        for cut in range(table.exits):
            for early, late in itertools.product(steps, repeat=2):
                at = [early if k < cut else late for k in range(table.exits)]
                yield Policy(tuple(t if k else INF for t, k in zip(at, kept, strict=True)), ones)


def per_class_policies(table: ScoreTable, steps: list[float]) -> Iterator[Policy]:
    ones = (1.0,) * table.exits
    for kept in itertools.product([False, True], repeat=table.exits):
        for row in itertools.product([*steps, INF], repeat=table.classes):
            if min(row) < INF:
                yield Policy(
                    tuple(0.0 if k else INF for k in kept),
                    ones,
                    class_thresholds=tuple(row for _ in kept),
                )


@pytest.mark.parametrize("family", ["grouped", "per-class"])
@pytest.mark.parametrize("by", ["point", "upper95"])
def test_near_brute_force(family: Family, by: Statistic) -> None:
    """A local search: on most tables it finds the best there is, and on none it is far from it."""
    hits = 0
    for seed in range(10):
        table = coarse(made_table(3, 400, 2, seed, noise=1.0))
        costs, goal = made_costs(3, seed, head=10), Goal(limit=0.03, statistic=by)
        steps = [float(t) for t in grid_of(table.confidences((1.0,) * 3), 1000)]
        policies = grouped_policies(table, steps) if family == "grouped" else per_class_policies(table, steps)
        best = min(macs(table, costs, p) for p in policies if keeps(table, costs, p, goal))
        found = solve(table, costs, goal, family=family, fitted=(1.0,) * 3)
        reached = macs(table, costs, found)
        assert reached >= best * (1 - 1e-9)
        hits += reached <= best * (1 + 1e-9)
        assert reached <= best * 1.15
    assert hits >= 8


def test_classes_that_differ_get_thresholds_that_differ() -> None:
    """Of class 0 every confident answer is right, of class 1 only the most confident ones are: one threshold for both
    stops few of class 0.
    """
    random = np.random.default_rng(0)
    n = 1000
    labels = np.arange(n) % 2
    sure = random.uniform(1, 3, n)
    named = np.where((labels == 0) & (sure < 2.5) & (random.random(n) < 0.5), 1, labels)
    scores = np.zeros((2, n, 2), np.float32)
    scores[0, np.arange(n), named] = sure
    scores[1, np.arange(n), labels] = 5
    table, costs = ScoreTable("calibration", scores, labels), Costs(np.array([100, 2000]), np.array([1]))
    shared = solve(table, costs, Goal(0.0), fitted=(1.0,))
    found = solve(table, costs, Goal(0.0), family="per-class", fitted=(1.0,))
    (row,) = found.class_thresholds
    assert row[0] < row[1]
    assert evaluate(table, costs, found).correct.all()
    assert macs(table, costs, found) < 0.85 * macs(table, costs, shared)


def test_classes_with_few_samples_share_a_threshold() -> None:
    table = made_table(3, 900, 8, 3)
    found = solve(table, made_costs(3), Goal(0.1), family="per-class")
    (row,) = {row for row, stays in zip(found.class_thresholds, found.active, strict=True) if stays}
    counts = np.array([(table.named[:-1][found.active] == c).any(axis=0).sum() for c in range(8)])
    few = {row[c] for c in np.flatnonzero(counts < FEWEST)}
    assert len(few) == 1
    assert len(set(row)) > 2


def test_a_policy_of_a_part_with_the_bounds_of_the_whole() -> None:
    """A part that holds every second of samples that come in equal pairs: the policy is that of the whole."""
    half = made_table(3, 400, 3, 1)
    whole = replace(half, scores=np.repeat(half.scores, 2, axis=1), labels=np.repeat(half.labels, 2))
    costs, goal = made_costs(3), Goal(0.05, statistic="upper95")
    alone, as_whole, of_whole = (
        solve(table, costs, goal, fitted=(1.0,) * 3, whole=given)
        for table, given in ((half, None), (half, whole), (whole, None))
    )
    assert macs(half, costs, as_whole) == pytest.approx(macs(half, costs, of_whole))
    assert macs(half, costs, as_whole) < macs(half, costs, alone)
