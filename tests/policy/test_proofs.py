"""What the branch and bound says it has proven, against HiGHS and against all thresholds there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_tables import made_costs, made_table

from eennc.policy.goal import Goal
from eennc.policy.solve import solve
from eennc.policy.solvers.branch import solve_branching
from eennc.policy.solvers.per_exit import Grids, grids, policy_value
from eennc.policy.solvers.problem import Problem, grid_of, keeps, levels_of, problem
from eennc.policy.statistics import SLACK, Limit, Statistic

ones = (1.0, 1.0, 1.0)


def highs(posed: Problem, given: Grids) -> float:
    """The optimum of a mixed-integer program, in MACs: a one-hot threshold per exit, a stop per sample, and for each
    sample and exit whether it pays the head. For one limit on a point.
    """
    from scipy.optimize import LinearConstraint, milp
    from scipy.sparse import lil_matrix

    levels, never = given.levels, given.never
    exits, n = levels.shape
    picks = exits * (never + 1)
    stop = picks + np.arange(n * (exits + 1)).reshape(n, exits + 1)
    pays = stop[-1, -1] + 1 + np.arange(n * exits).reshape(n, exits)
    size = pays[-1, -1] + 1
    rows: list[tuple[dict[int, float], float, float]] = []
    for k in range(exits):
        rows.append(({k * (never + 1) + i: 1.0 for i in range(never + 1)}, 1, 1))
    limit: dict[int, float] = {}
    cost = np.zeros(size)
    for s in range(n):
        rows.append(({int(v): 1.0 for v in stop[s]}, 1, 1))
        fires = [{k * (never + 1) + i: 1.0 for i in range(never) if levels[k, s] > i} for k in range(exits)]
        for e in range(exits + 1):
            cost[stop[s, e]] = posed.share[s] * posed.backbone[e] + posed.worth[s] * posed.lost[e, s]
            limit[int(stop[s, e])] = posed.weights[0, s] * float(posed.lost[e, s])
            if e < exits:
                rows.append(({int(stop[s, e]): 1.0, **{v: -c for v, c in fires[e].items()}}, -np.inf, 0))
            for before in range(e):
                rows.append(({int(stop[s, e]): 1.0, **fires[before]}, -np.inf, 1))
        for k in range(exits):
            cost[pays[s, k]] = posed.share[s] * posed.head[k]
            # whoever has not stopped before pays, unless the exit is out
            row = {int(pays[s, k]): 1.0, k * (never + 1) + never: 1.0, **{int(v): 1.0 for v in stop[s, :k]}}
            rows.append((row, 1, np.inf))
    rows.append((limit, -np.inf, posed.limits[0] + SLACK))
    matrix = lil_matrix((len(rows), size))
    for number, (row, _, _) in enumerate(rows):
        for column, value in row.items():
            matrix[number, column] = value
    bounds = LinearConstraint(matrix.tocsr(), [row[1] for row in rows], [row[2] for row in rows])
    whole = np.zeros(size)
    whole[:picks] = 1
    return float(milp(cost, constraints=bounds, integrality=whole, bounds=(0, 1), options={"mip_rel_gap": 0}).fun)


@pytest.mark.parametrize(("limit", "price"), [(0.04, 0.0), (1.0, 1.5), (0.0, 0.3)])
@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_that_of_highs(seed: int, limit: float, price: float) -> None:
    table = made_table(3, 40, classes=3, seed=seed, weighted=seed == 1)
    posed = problem(table, made_costs(3, head=100, seed=seed), ones, limit, price=price)
    prepared = grids(posed, 5)
    found = solve_branching(posed, prepared, np.full(3, prepared.never), root_steps=100)
    assert found.gap == 0
    assert found.cost == pytest.approx(highs(posed, prepared), rel=1e-6)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    exits=st.integers(1, 3),
    groups=st.sampled_from([0, 3]),
    limit=st.sampled_from([0.05, 0.2, 1.0]),
    by=st.sampled_from(["point", "upper95"]),
    price=st.sampled_from([0.0, 1.0]),
    steps=st.integers(0, 40),
)
def test_no_thresholds_whatever_are_cheaper_than_the_bounds(
    seed: int, exits: int, groups: int, limit: float, by: Statistic, price: float, steps: int
) -> None:
    table = made_table(exits, 14, classes=3, seed=seed, groups=groups)
    posed = problem(table, made_costs(exits, head=80), ones[:exits], limit, "accuracy", by, price=price)
    prepared = grids(posed, 3)
    # a single box and a few steps: bounds that are not tight must hold as well
    found = solve_branching(posed, prepared, np.full(exits, prepared.never), 1, steps)
    cuts = [grid_of(row, row.size) for row in posed.confidences]
    levels = np.stack([levels_of(row, cut) for row, cut in zip(posed.confidences, cuts, strict=True)])
    never = max(len(cut) for cut in cuts)
    least = np.inf
    for policy in itertools.product(*([*range(len(cut)), never] for cut in cuts)):
        cost, over = policy_value(posed, levels, never, np.array(policy))
        if keeps(over):
            least = min(least, cost)
    assert found.bound_of_any <= least * (1 + 1e-6)
    assert least <= found.cost * (1 + 1e-6)
    assert found.cost * (1 - found.grid_gap) <= least * (1 + 1e-6)


@pytest.mark.parametrize(("steps", "tight"), [(40, 0.96), (300, 0.98)])
@pytest.mark.parametrize("limit", [0.05, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_on_any_thresholds_is_near_what_they_cost(seed: int, limit: float, steps: int, tight: float) -> None:
    table = made_table(2, 150, classes=3, seed=seed)
    posed = problem(table, made_costs(2, head=80), ones[:2], limit, price=0.0 if limit < 1 else 1.0)
    prepared = grids(posed, steps)
    found = solve_branching(posed, prepared, np.full(2, prepared.never), root_steps=1500)
    cuts = grids(posed, posed.confidences.size)
    least = min(
        cost
        for policy in itertools.product(range(cuts.never + 1), repeat=2)
        for cost, over in [policy_value(posed, cuts.levels, cuts.never, np.array(policy))]
        if keeps(over)
    )
    # on the coarser grid the best thresholds are not
    assert steps > 40 or least < found.cost * (1 - 1e-3)
    assert tight * least <= found.bound_of_any <= least * (1 + 1e-6)


@pytest.mark.parametrize("boxes", [1, 30])
def test_a_search_that_is_cut_short_keeps_its_bound(boxes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eennc.policy.solvers.branch.LEAF", 0)
    table = made_table(4, 300, seed=4, noise=2.0)
    posed = problem(table, made_costs(4, head=100), (1.0,) * 4, 0.03, "accuracy", "upper95")
    prepared = grids(posed, 9)
    found = solve_branching(posed, prepared, np.full(4, prepared.never), boxes, 60)
    least = min(
        cost
        for policy in itertools.product(range(prepared.never + 1), repeat=4)
        for cost, over in [policy_value(posed, prepared.levels, prepared.never, np.array(policy))]
        if keeps(over)
    )
    assert found.bound <= least * (1 + 1e-6)
    assert least <= found.cost * (1 + 1e-6)
    assert boxes > 1 or found.gap > 0


def test_of_several_limits_all_are_kept_and_the_optimum_is_found() -> None:
    table = made_table(3, 120, classes=3, seed=2)
    more = [Limit("class 0", 0.02), Limit("balanced-accuracy", 0.06)]
    posed = problem(table, made_costs(3), ones, 0.1, more=more)
    prepared = grids(posed, 8)
    found = solve_branching(posed, prepared, np.full(3, prepared.never), root_steps=60)
    least = min(
        cost
        for policy in itertools.product(range(prepared.never + 1), repeat=3)
        for cost, over in [policy_value(posed, prepared.levels, prepared.never, np.array(policy))]
        if keeps(over)
    )
    assert found.gap == 0
    assert found.cost == pytest.approx(least, rel=1e-6)


def test_a_policy_says_what_is_proven_of_it() -> None:
    table, costs = made_table(3, 200, seed=1), made_costs(3)
    proven = solve(table, costs, Goal(0.03), family="per-exit")
    assert (proven.solver, proven.gap) == ("exact", 0.0)
    assert proven.grid_gap is not None
    assert 0 <= proven.grid_gap < 0.5
    guessed = solve(table, costs, Goal(0.03), family="per-exit", solver="descent")
    assert (guessed.solver, guessed.gap, guessed.grid_gap) == ("descent", None, None)
