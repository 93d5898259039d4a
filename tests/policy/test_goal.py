"""Objectives and limits against brute force over every shared threshold and every set of exits."""

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
from eennc.policy.solve import solve
from eennc.policy.statistics import SLACK, Limit, Statistic, loss_of
from eennc.policy.table import Costs, Policy, ScoreTable
from eennc.support.diagnostics import UserError

INF = float("inf")
ones = (1.0, 1.0, 1.0)

tables = st.builds(
    made_table,
    exits=st.integers(1, 3),
    samples=st.integers(5, 60),
    classes=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    noise=st.sampled_from([0.0, 1.0, 3.0]),
    groups=st.sampled_from([0, 0, 5]),
    weighted=st.booleans(),
)
statistics = st.sampled_from(["point", "upper95"])


def policies(table: ScoreTable) -> Iterator[Policy]:
    ones = (1.0,) * table.exits
    observed = [0.0, *(float(c) for c in np.unique(table.confidences(ones))[1:])]
    yield Policy((INF,) * table.exits, ones)
    for size in range(1, table.exits + 1):
        for kept in itertools.combinations(range(table.exits), size):
            for t in observed:
                yield Policy(tuple(t if k in kept else INF for k in range(table.exits)), ones)


def mean(table: ScoreTable, costs: Costs, policy: Policy) -> float:
    return float(table.sample_weights @ evaluate(table, costs, policy).macs) / float(costs.backbone[-1])


def loss(table: ScoreTable, costs: Costs, policy: Policy, by: Statistic = "point") -> float:
    if not policy.active.any():
        return 0.0
    return loss_of(table, evaluate(table, costs, policy).correct, "accuracy").of(by)


def of_class(table: ScoreTable, costs: Costs, policy: Policy, number: int) -> float:
    """The loss on a class's own samples."""
    right, weights = evaluate(table, costs, policy).correct, table.sample_weights
    own = table.labels == number
    lost = table.correct[-1].astype(float) - right
    return float(weights[own] @ lost[own] / weights[own].sum()) if own.any() else -1.0


@settings(max_examples=30)
@given(tables, st.integers(0, 400), statistics, st.sampled_from([0.35, 0.6, 0.9]))
def test_best_accuracy_is_brute_force(table: ScoreTable, head: int, by: Statistic, budget: float) -> None:
    costs = made_costs(table.exits, head=head + 1)
    affordable = [p for p in policies(table) if mean(table, costs, p) <= budget]
    goal = Goal(statistic=by, objective="best-accuracy", budget=budget)
    if not affordable:
        with pytest.raises(UserError, match="no thresholds bring the mean cost to"):
            solve(table, costs, goal, fitted=ones[: table.exits])
        return
    found = solve(table, costs, goal, fitted=ones[: table.exits])
    least = min(loss(table, costs, p, by) for p in affordable)
    assert loss(table, costs, found, by) == pytest.approx(least, abs=1e-6)
    cheapest = min(mean(table, costs, p) for p in affordable if loss(table, costs, p, by) <= least + SLACK)
    assert mean(table, costs, found) == pytest.approx(cheapest, rel=1e-6)


@settings(max_examples=30)
@given(tables, st.integers(0, 400), st.sampled_from([0.1, 1.0, 10.0]), st.sampled_from([None, 0.05]))
def test_the_weighted_sum_is_brute_force(table: ScoreTable, head: int, price: float, limit: float | None) -> None:
    costs = made_costs(table.exits, head=head + 1)
    goal = Goal(limit, objective="weighted-sum", price=price)
    found = solve(table, costs, goal, fitted=ones[: table.exits])
    sums = [
        mean(table, costs, p) + price * loss(table, costs, p)
        for p in policies(table)
        if limit is None or loss(table, costs, p) <= limit + SLACK
    ]
    assert mean(table, costs, found) + price * loss(table, costs, found) == pytest.approx(min(sums), rel=1e-6)


@settings(max_examples=30)
@given(tables, st.sampled_from([0.02, 0.1, 0.3]), st.sampled_from([0.05, 0.2]))
def test_several_limits_are_brute_force(table: ScoreTable, limit: float, of_any_class: float) -> None:
    costs = made_costs(table.exits)
    found = solve(table, costs, Goal(limit, more=(Limit("worst-class", of_any_class),)), fitted=ones[: table.exits])

    def kept(policy: Policy) -> bool:
        worst = max(of_class(table, costs, policy, c) for c in range(table.classes))
        return loss(table, costs, policy) <= limit + SLACK and worst <= of_any_class + SLACK

    assert kept(found)
    best = min(mean(table, costs, p) for p in policies(table) if kept(p))
    assert mean(table, costs, found) == pytest.approx(best, rel=1e-6)


@settings(max_examples=30)
@given(tables, st.integers(0, 400), st.sampled_from([0.0, 0.4, 2.0]), st.sampled_from([0.05, 0.2]))
def test_gains_make_up_for_no_lost_sample(table: ScoreTable, head: int, share: float, of_any_class: float) -> None:
    costs = made_costs(table.exits, head=head + 1)
    everywhere = np.ones(len(table), bool)
    limits = [(everywhere, share * 0.1), *((table.labels == c, share * of_any_class) for c in set(table.labels))]
    asked = Goal(0.1, statistic="upper95", more=(Limit("worst-class", of_any_class, "upper95"),)).losing(share)
    found = solve(table, costs, asked, fitted=ones[: table.exits])

    def keeps(policy: Policy) -> bool:
        lost = table.correct[-1] & ~evaluate(table, costs, policy).correct
        weights = table.sample_weights
        return all(lost[rows] @ weights[rows] <= limit * weights[rows].sum() + SLACK for rows, limit in limits)

    assert keeps(found)
    best = min(mean(table, costs, p) for p in policies(table) if keeps(p))
    assert mean(table, costs, found) == pytest.approx(best, rel=1e-6)


def test_exits_that_save_little_are_left_out_of_thresholds_per_exit() -> None:
    table, costs, goal = made_table(10, 800, 5, 3), made_costs(10), Goal(0.02)
    first = solve(table, costs, goal, family="per-exit", solver="descent")
    stay = first
    while True:
        fewer = [
            replace(stay, thresholds=(*stay.thresholds[:k], INF, *stay.thresholds[k + 1 :]))
            for k in np.flatnonzero(stay.active)
        ]
        least = min(fewer, key=lambda policy: mean(table, costs, policy))
        if mean(table, costs, least) - mean(table, costs, stay) >= 0.02:
            break
        stay = least
    found = solve(table, costs, goal, family="per-exit", solver="descent", min_gain=0.02)
    assert 0 < stay.active.sum() < first.active.sum()
    assert found.active.any()
    assert not found.active[~stay.active].any()
    assert mean(table, costs, first) <= mean(table, costs, found) < 0.5
    assert loss(table, costs, found) <= 0.02 + SLACK
    few, own = made_table(3, 200, 3, 5), made_costs(3, head=200)
    exact = solve(few, own, goal, family="per-exit", solver="exact", steps=20)
    assert exact == solve(few, own, goal, family="per-exit", solver="exact", steps=20, min_gain=0.2)
    assert not solve(few, own, goal, family="per-exit", solver="descent", min_gain=0.99).active.any()


def test_where_losses_have_a_price_gains_have_one_too() -> None:
    table, costs = made_table(3, 400, 3, 7, noise=3.0), made_costs(3)
    asked = Goal(objective="weighted-sum", price=2.0)
    assert solve(table, costs, asked.losing(0.5)) == solve(table, costs, asked)


@pytest.mark.parametrize("family", ["shared", "per-exit"])
def test_one_class_is_protected(family: str) -> None:
    table, costs = made_table(4, 800, classes=4, seed=3), made_costs(4)
    for number in (0, 3):
        free = solve(table, costs, Goal(0.05), family=family)
        held = solve(table, costs, Goal(0.05, more=(Limit(f"class {number}", 0.0),)), family=family)
        assert of_class(table, costs, held, number) <= SLACK
        assert mean(table, costs, held) >= mean(table, costs, free) - 1e-9


@pytest.mark.parametrize("family", ["shared", "per-exit"])
@pytest.mark.parametrize("exits", [4, 12])
def test_the_worst_case_is_kept(family: str, exits: int) -> None:
    table, costs = made_table(exits, 400, seed=2), made_costs(exits, head=400)
    whole = int(costs.backbone[-1])
    free = solve(table, costs, Goal(0.05), family=family)
    assert costs.stopping(free.active)[-1] > 1.03 * whole
    for worst in (1.0, 1.03):
        found = solve(table, costs, Goal(0.05, worst=worst), family=family)
        assert costs.stopping(found.active)[-1] <= worst * whole + 1e-6
        assert found.active.any() == (worst > 1)
    with pytest.raises(UserError, match=r"the worst case cannot be 0\.9 of it"):
        solve(table, costs, Goal(0.05, worst=0.9), family=family)


def test_an_infeasible_goal_names_the_nearest() -> None:
    table, costs = made_table(4, 500, seed=1), made_costs(4)
    least = mean(table, costs, solve(table, costs, Goal(0.01)))
    budget = 0.8 * least
    with pytest.raises(UserError) as refused:
        solve(table, costs, Goal(0.01, budget=budget))
    assert f"the least is {least:.4g}" in str(refused.value)
    hint = refused.value.hint
    assert hint is not None
    # what the hint says is feasible, and nothing below it
    named = float(hint.split("a limit on the loss of ")[1].split(" ")[0])
    assert mean(table, costs, solve(table, costs, Goal(named + 5e-5, budget=budget))) <= budget
    with pytest.raises(UserError):
        solve(table, costs, Goal(named - 1 / 400, budget=budget))
    # a budget that nothing keeps
    with pytest.raises(UserError, match=r"the least is 0\.2"):
        solve(table, costs, Goal(budget=0.01))


def test_goals_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="largest mean cost"):
        Goal(objective="best-accuracy")
    for goal in ({"objective": "weighted-sum"}, {"price": 1.0}):
        with pytest.raises(ValueError, match="price of losses"):
            Goal(**goal)
    table, costs = made_table(2, 50, classes=3), made_costs(2)
    for metric, message in (("clas 1", "no metric"), ("class 7", "class 7"), ("class x", "no metric")):
        with pytest.raises(UserError, match=message):
            solve(table, costs, Goal(0.1, more=(Limit(metric, 0.1),)))
    only = replace(table, labels=np.zeros(50, np.int64))
    assert solve(only, costs, Goal(0.5)).thresholds


def test_a_budget_out_of_reach_names_the_share_of_the_limit_that_was_asked_for() -> None:
    table, costs = made_table(3, 200, seed=1), made_costs(3)
    goal = Goal(0.02, statistic="upper95", held_out=True, budget=0.01)
    with pytest.raises(UserError, match=r"at most 0.01 .accuracy, point., 0.5 times the limit, as held-out"):
        solve(table, costs, goal.losing(0.5))
    with pytest.raises(UserError, match=r"at most 0.02 .accuracy, upper95. at a mean cost"):
        solve(table, costs, goal)
