"""Solvers against brute force, which evaluates every policy of a grid with `evaluate` and `loss_of` alone."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_tables import made_costs, made_table

from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.solve import Family, solve
from eennc.policy.solvers.branch import solve_branching
from eennc.policy.solvers.descent import solve_descent
from eennc.policy.solvers.independent import program, solve_independent
from eennc.policy.solvers.per_exit import Grids, grids, policy_value, without_idle
from eennc.policy.solvers.problem import SLACK, Problem, grid_of, keeps, problem
from eennc.policy.solvers.rounds import CONSTRAINED, code, descend, go_round, score_of
from eennc.policy.solvers.shared import solve_shared
from eennc.policy.statistics import Limit, Metric, Statistic, loss_of
from eennc.policy.table import Costs, Ints, Policy, ScoreTable
from eennc.support.diagnostics import UserError

INF = float("inf")
Thresholds = tuple[float, ...]

tables = st.builds(
    made_table,
    exits=st.integers(1, 3),
    samples=st.integers(2, 60),
    classes=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    noise=st.sampled_from([0.0, 1.0, 3.0]),
    groups=st.sampled_from([0, 0, 2, 5]),
    weighted=st.booleans(),
    probabilities=st.booleans(),
)
limits = st.sampled_from([0.0, 0.02, 0.1, 0.3, 1.0])
metrics = st.sampled_from(["accuracy", "balanced-accuracy"])
statistics = st.sampled_from(["point", "upper95"])
ones = (1.0, 1.0, 1.0)


def mean_macs(table: ScoreTable, costs: Costs, thresholds: Thresholds) -> float:
    policy = Policy(thresholds, (1.0,) * table.exits)
    return float(table.sample_weights @ evaluate(table, costs, policy).macs)


def kept(table: ScoreTable, costs: Costs, thresholds: Thresholds, limit: float, metric: Metric, by: Statistic) -> bool:
    if all(t == INF for t in thresholds):
        return True
    correct = evaluate(table, costs, Policy(thresholds, (1.0,) * table.exits)).correct
    return loss_of(table, correct, metric).of(by) <= limit + SLACK


def brute_force(
    table: ScoreTable, costs: Costs, policies: Iterable[Thresholds], limit: float, metric: Metric, by: Statistic
) -> float:
    """The least mean MACs among the policies that keep the limit."""
    by_cost = sorted((mean_macs(table, costs, p), p) for p in policies)
    return next(macs for macs, p in by_cost if kept(table, costs, p, limit, metric, by))


def solve_exact(posed: Problem, prepared: Grids) -> Ints:
    """The optimum, from a start that is none."""
    found = solve_branching(posed, prepared, np.full(posed.exits, prepared.never), root_steps=60)
    assert found.gap == 0
    return found.indices


@settings(max_examples=35)
@given(tables, st.integers(0, 400), limits, metrics, statistics)
def test_exact_is_brute_force(table: ScoreTable, head: int, limit: float, metric: Metric, by: Statistic) -> None:
    costs = made_costs(table.exits, head=head + 1)
    posed = problem(table, costs, ones[: table.exits], limit, metric, by)
    prepared = grids(posed, 4)
    thresholds = prepared.values(solve_exact(posed, prepared))
    assert kept(table, costs, thresholds, limit, metric, by)
    rows = [[float(t) for t in np.unique(row)] for row in prepared.thresholds]
    best = brute_force(table, costs, itertools.product(*rows), limit, metric, by)
    assert mean_macs(table, costs, thresholds) == pytest.approx(best, rel=1e-6)


@settings(max_examples=60)
@given(tables, st.integers(0, 400), limits, metrics, statistics)
def test_shared_is_brute_force(table: ScoreTable, head: int, limit: float, metric: Metric, by: Statistic) -> None:
    costs = made_costs(table.exits, head=head + 1)
    thresholds = solve_shared(problem(table, costs, ones[: table.exits], limit, metric, by))
    assert kept(table, costs, thresholds, limit, metric, by)
    observed = [0.0, *(float(c) for c in np.unique(table.confidences(ones[: table.exits]))[1:])]
    policies = (
        tuple(t if k in chosen else INF for k in range(table.exits))
        for t in [*observed, INF]
        for size in range(table.exits + 1)
        for chosen in itertools.combinations(range(table.exits), size)
    )
    best = brute_force(table, costs, policies, limit, metric, by)
    assert mean_macs(table, costs, thresholds) == pytest.approx(best, rel=1e-6)


@settings(max_examples=40)
@given(tables, limits, metrics, statistics)
def test_descent_is_feasible_and_near_the_optimum(
    table: ScoreTable, limit: float, metric: Metric, by: Statistic
) -> None:
    costs = made_costs(table.exits)
    posed = problem(table, costs, ones[: table.exits], limit, metric, by)
    prepared = grids(posed, 6)
    thresholds = prepared.values(solve_descent(posed, prepared, (), 0))
    best = mean_macs(table, costs, prepared.values(solve_exact(posed, prepared)))
    assert kept(table, costs, thresholds, limit, metric, by)
    assert best <= mean_macs(table, costs, thresholds) * (1 + 1e-9)
    assert mean_macs(table, costs, thresholds) <= 1.05 * best


@settings(max_examples=60)
@given(tables, limits, metrics, statistics, st.sampled_from([0.0, 1.5]), st.booleans(), st.integers(0, 2**31))
def test_a_round_finds_the_best_of_all_single_thresholds(
    table: ScoreTable, limit: float, metric: Metric, by: Statistic, worth: float, constrained: bool, seed: int
) -> None:
    costs = made_costs(table.exits, head=300)
    more = [Limit("balanced-accuracy", 0.3)] if seed % 2 else []
    posed = problem(table, costs, ones[: table.exits], limit, metric, by, more=more, price=worth)
    prepared = grids(posed, 5)
    never = prepared.never
    random = np.random.default_rng(seed)
    start = random.integers(0, never + 1, table.exits)
    price = CONSTRAINED if constrained else float(random.uniform(0, 5) * costs.backbone[-1])
    ceiling = float(posed.backbone[-1] + posed.head.sum() + posed.worth.sum())

    def score(indices: Ints) -> float:
        return score_of(*policy_value(posed, prepared.levels, never, indices), price, ceiling)

    moved = [np.where(np.arange(table.exits) == k, i, start) for k in range(table.exits) for i in range(never + 1)]
    best = min(score(indices) for indices in moved)
    # samples by kinds, and one by one
    for most in (64, 0):
        coded = code(posed, prepared, most)
        found, exit, index = go_round(posed, coded, never, start, price, False)
        assert found == pytest.approx(best, rel=1e-9)
        assert score(np.where(np.arange(table.exits) == exit, index, start)) == pytest.approx(best, rel=1e-9)
        indices = start.copy()
        found, _, _ = go_round(posed, coded, never, indices, price, True)
        assert found == pytest.approx(score(indices), rel=1e-9)
        assert found <= score(start) + 1e-9 * abs(best)


def test_samples_are_read_by_kind_where_there_are_few() -> None:
    table = made_table(3, 50, classes=3)
    weighted = made_table(3, 50, classes=3, weighted=True)
    grouped = made_table(3, 50, classes=3, groups=5)

    def kinds(table: ScoreTable, metric: Metric, by: Statistic = "point") -> int:
        posed = problem(table, made_costs(3), ones, 0.1, metric, by)
        return len(code(posed, grids(posed, 4)).share)

    assert (kinds(table, "accuracy"), kinds(table, "balanced-accuracy")) == (1, 3)
    assert kinds(weighted, "accuracy") == 50
    assert (kinds(grouped, "accuracy"), kinds(grouped, "accuracy", "upper95")) == (1, 0)


@pytest.mark.parametrize("by", ["point", "upper95"])
@pytest.mark.parametrize("weighted", [False, True])
def test_descent_on_a_large_table_is_near_many_random_starts(weighted: bool, by: Statistic) -> None:
    table, costs = made_table(14, 8000, classes=4, seed=3, weighted=weighted), made_costs(14, head=60)
    posed = problem(table, costs, (1.0,) * 14, 0.02, "accuracy", by)
    prepared = grids(posed, 30)
    coded = code(posed, prepared)
    random = np.random.default_rng(1)
    best = float("inf")
    for _ in range(60):
        start = random.integers(0, prepared.never + 1, 14)
        start, _ = descend(posed, coded, prepared.never, start, random.uniform(1, 8) * costs.backbone[-1])
        found, _ = descend(posed, coded, prepared.never, start, CONSTRAINED)
        cost, over = policy_value(posed, prepared.levels, prepared.never, found)
        best = min(best, cost) if keeps(over) else best
    found = solve_descent(posed, prepared, (), 0)
    np.testing.assert_array_equal(found, solve_descent(posed, prepared, (), 0))
    cost, over = policy_value(posed, prepared.levels, prepared.never, found)
    assert keeps(over)
    assert cost <= 1.001 * best


@pytest.mark.parametrize("by", ["point", "upper95"])
@pytest.mark.parametrize("exits", [4, 5])
def test_descent_reaches_the_optimum_of_real_size(exits: int, by: Statistic) -> None:
    table, costs = made_table(exits, 800, seed=7), made_costs(exits, head=150)
    posed = problem(table, costs, (1.0,) * exits, 0.02, "accuracy", by)
    prepared = grids(posed, 16)
    found = policy_value(posed, prepared.levels, prepared.never, solve_descent(posed, prepared, (), 0))
    best = policy_value(posed, prepared.levels, prepared.never, solve_exact(posed, prepared))
    assert best[0] <= found[0] <= 1.003 * best[0]


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy"])
@pytest.mark.parametrize("seed", range(4))
def test_descent_is_never_worse_than_simpler_policies(seed: int, metric: Metric) -> None:
    table, costs = made_table(9, 600, seed=seed, groups=6 if seed % 2 else 0), made_costs(9, head=200)
    temperatures = (1.0,) * 9
    posed = problem(table, costs, temperatures, 0.03, metric)
    shared, independent = solve_shared(posed), solve_independent(posed, table.classes)
    goal = Goal(0.03, metric)
    found = solve(table, costs, goal, family="per-exit", solver="descent", fitted=temperatures)
    assert kept(table, costs, found.thresholds, 0.03, metric, "point")
    for other in (shared, independent, (INF,) * 9):
        if kept(table, costs, other, 0.03, metric, "point"):
            assert mean_macs(table, costs, found.thresholds) <= mean_macs(table, costs, other) + 1e-6


@pytest.mark.parametrize("head", [20, 400])
def test_shared_search_is_near_all_sets(head: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table, costs = made_table(11, 500, seed=1), made_costs(11, head=head)
    posed = problem(table, costs, (1.0,) * 11, 0.02)
    searched = mean_macs(table, costs, solve_shared(posed))
    monkeypatch.setattr("eennc.policy.solvers.shared.EXHAUSTIVE", 11)
    best = mean_macs(table, costs, solve_shared(posed))
    assert best <= searched <= 1.005 * best


@pytest.mark.parametrize("exits", [1, 2, 3, 4])
@pytest.mark.parametrize("price", [0.0, 3e3, 3e4])
def test_independent_program_is_bellman_ford(exits: int, price: float) -> None:
    """A graph whose nodes are all beginnings of a policy: an edge costs what the next exit adds for those who are
    believed to come by, so the shortest path to a whole policy is the cheapest one.
    """
    random = np.random.default_rng(exits)
    steps, head = random.uniform(500, 1500, exits + 1), random.uniform(1, 300, exits)
    rate = -np.sort(-random.random((exits, 4)), axis=1)
    regret = rate * random.uniform(-0.02, 0.3, (exits, 4))
    graph = networkx.DiGraph()
    reach = {(): 1.0}
    for k in range(exits):
        for begun in [node for node in reach if len(node) == k]:
            for t in range(5):
                coming = reach[begun]
                stops, loses = (rate[k, t], regret[k, t]) if t < 4 else (0.0, 0.0)
                cost = coming * (steps[k] + (head[k] if t < 4 else 0) + price * loses)
                reach[(*begun, t)] = coming * (1 - stops)
                graph.add_edge(begun, (*begun, t), weight=cost)
    for whole in [node for node in reach if len(node) == exits]:
        graph.add_edge(whole, "end", weight=reach[whole] * steps[exits])
    shortest, path = networkx.single_source_bellman_ford(graph, (), "end")
    choice, cost, loss = program(rate, regret, steps, head, price)
    assert cost + price * loss == pytest.approx(shortest)
    assert tuple(choice) == path[-2]


def test_independent_is_right_where_exits_are_independent() -> None:
    # confidences that know nothing of one another: what the program believes is what happens
    random = np.random.default_rng(0)
    n = 40_000
    confidence = random.uniform(0.5, 1, (3, n))
    labels = random.integers(0, 2, n)
    right = random.random((3, n)) < confidence
    right[2] = random.random(n) < 0.95
    chosen = np.where(right, labels, 1 - labels)
    scores = np.where(chosen[..., None] == np.arange(2), confidence[..., None], 1 - confidence[..., None])
    table = ScoreTable("calibration", scores.astype(np.float32), labels, "probabilities")
    costs = Costs(np.array([100, 200, 300]), np.array([5, 5]))
    policy = solve(table, costs, Goal(0.03), solver="independent")
    loss = loss_of(table, evaluate(table, costs, policy).correct, "accuracy").point
    assert 0.02 < loss < 0.035
    best = solve(table, costs, Goal(0.03), family="per-exit", solver="exact")
    assert mean_macs(table, costs, best.thresholds) <= mean_macs(table, costs, policy.thresholds) * 1.03


@settings(max_examples=40)
@given(tables, metrics, statistics, st.integers(0, 2**31))
def test_the_solvers_statistic_is_that_of_the_report(
    table: ScoreTable, metric: Metric, by: Statistic, seed: int
) -> None:
    costs = made_costs(table.exits)
    posed = problem(table, costs, ones[: table.exits], 0.1, metric, by)
    prepared = grids(posed, 4)
    indices = np.random.default_rng(seed).integers(0, prepared.never, table.exits)
    thresholds = prepared.values(indices)
    cost, value = policy_value(posed, prepared.levels, prepared.never, indices)
    correct = evaluate(table, costs, Policy(thresholds, ones[: table.exits])).correct
    if all(t < INF for t in thresholds):
        assert cost == pytest.approx(mean_macs(table, costs, thresholds))
        assert value == pytest.approx(loss_of(table, correct, metric).of(by) - 0.1, abs=1e-12)
    assert keeps(value) == kept(table, costs, thresholds, 0.1, metric, by)


@pytest.mark.parametrize("family", ["shared", "per-exit"])
@pytest.mark.parametrize("exits", [3, 10])
def test_answers_do_not_depend_on_units_or_order(exits: int, family: Family) -> None:
    table, costs = made_table(exits, 400, seed=5, classes=4), made_costs(exits, head=100)
    first = solve(table, costs, Goal(0.02), family=family)
    assert solve(table, costs, Goal(0.02), family=family) == first
    saved = mean_macs_of(table, costs, first)
    # twice the costs, sample weights of 3, samples in another order, classes renamed
    twice = Costs(2 * costs.backbone, 2 * costs.head)
    assert solve(table, twice, Goal(0.02), family=family).thresholds == first.thresholds
    order = np.random.default_rng(0).permutation(400)
    renamed = np.array([2, 0, 3, 1])
    mixed = ScoreTable(
        "mixed",
        table.scores[:, order][:, :, np.argsort(renamed)],
        renamed[table.labels[order]],
        weights=np.full(400, 3.0),
    )
    again = solve(mixed, costs, Goal(0.02), family=family)
    assert mean_macs_of(mixed, costs, again) == pytest.approx(saved, rel=2e-3)


def mean_macs_of(table: ScoreTable, costs: Costs, policy: Policy) -> float:
    return float(table.sample_weights @ evaluate(table, costs, policy).macs)


@pytest.mark.parametrize("family", ["shared", "per-exit"])
def test_a_looser_limit_saves_no_less(family: Family) -> None:
    table, costs = made_table(4, 500, seed=2), made_costs(4)
    macs = [
        mean_macs_of(table, costs, solve(table, costs, Goal(limit), family=family)) for limit in (0, 0.01, 0.03, 0.1, 1)
    ]
    assert macs == sorted(macs, reverse=True)
    # with a limit that allows everything, all stop at the first exit
    assert macs[-1] == pytest.approx(costs.backbone[0] + costs.head[0])


def test_balanced_limits_protect_the_small_class() -> None:
    table, costs = made_table(4, 3000, classes=6, seed=3), made_costs(4)
    losses: dict[str, float] = {}
    for metric in ("accuracy", "balanced-accuracy"):
        policy = solve(table, costs, Goal(0.01, metric))
        losses[metric] = loss_of(table, evaluate(table, costs, policy).correct, "balanced-accuracy").point
    assert losses["balanced-accuracy"] <= 0.01 + SLACK < losses["accuracy"]


@pytest.mark.parametrize("family", ["shared", "per-exit"])
@pytest.mark.parametrize("most", [0, 1, 2, 10])
def test_at_most_so_many_exits_stay(most: int, family: Family) -> None:
    table, costs = made_table(10, 300), made_costs(10)
    for solver in ("auto", "independent"):
        assert solve(table, costs, Goal(0.05), family=family, solver=solver, max_exits=most).active.sum() <= most


@pytest.mark.parametrize("solver", ["exact", "descent", "independent", "auto"])
@pytest.mark.parametrize("family", ["shared", "per-exit"])
@pytest.mark.parametrize("by", ["point", "upper95"])
def test_degenerate_tables(solver: str, family: Family, by: Statistic) -> None:
    options = {"family": family, "solver": solver}
    lenient, strict = Goal(0.01, statistic=by), Goal(0, statistic=by)
    useless = made_table(3, 60, classes=3)
    useless.scores[:3] = np.roll(useless.scores[3:], 1, axis=2)  # always wrong where the network is right
    # heads that cost more than they save, a lone sample, ties everywhere, no exits
    dear = Costs(np.array([10, 20, 30, 40]), np.array([100, 100, 100]))
    assert not solve(made_table(3, 60), dear, lenient, **options).active.any()
    if solver != "independent":
        assert not solve(
            replace(useless, labels=useless.scores[3].argmax(axis=1)), dear, strict, **options
        ).active.any()
    lone = solve(made_table(3, 1), made_costs(3), lenient, **options)
    assert len(lone.thresholds) == 3
    ties = np.zeros((3, 40, 2), np.float32)
    ties[:, np.arange(40), np.arange(40) % 2] = 2
    tied = ScoreTable("calibration", ties, np.arange(40) % 2)
    found = solve(tied, made_costs(2), strict, **options)
    if by == "point":
        first = made_costs(2).backbone[0] + made_costs(2).head[0]
        assert mean_macs_of(tied, made_costs(2), found) == pytest.approx(first)
    else:
        assert solver == "independent" or not found.active.any()
    assert solve(made_table(0, 30), made_costs(0), lenient, **options).thresholds == ()


def test_exact_is_refused_where_it_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eennc.policy.solve.MOST_BOXES", 1)
    with pytest.raises(UserError, match="does not end in time for 12 exits"):
        solve(made_table(12, 2000), made_costs(12), Goal(0.03), family="per-exit", solver="exact")


def test_an_exit_where_nobody_stops_is_left_out() -> None:
    levels = np.array([[3, 3, 0], [3, 0, 0], [0, 2, 2]])
    found = without_idle(levels, 4, np.array([1, 1, 1]))
    np.testing.assert_array_equal(found, [1, 4, 1])


def test_thresholds_stand_between_confidences() -> None:
    confidences = np.array([0.4, 0.5, 0.5, 0.7, 0.9], np.float32)
    np.testing.assert_allclose(grid_of(confidences, 10), [0, 0.45, 0.6, 0.8])
    many = np.random.default_rng(0).random(5000).astype(np.float32)
    grid = grid_of(many, 50)
    assert len(grid) == 50
    assert not np.isin(grid[1:], many).any()
    np.testing.assert_allclose(np.diff([(many >= t).sum() for t in grid]), -5000 / 49, rtol=0.02)


def test_every_exit_that_stays_saves_its_share() -> None:
    exits, limit, share = 7, 0.02, 0.02
    table, costs = made_table(exits=exits, samples=200, classes=4, seed=5, noise=1.0), made_costs(exits, seed=5)
    whole = float(costs.backbone[-1])
    ones = (1.0,) * exits

    def cost(chosen: tuple[int, ...]) -> float:
        """Least mean cost with these exits, by trying every observed confidence as the threshold."""
        best = INF if chosen else whole
        for threshold in np.unique(table.confidences(ones)[list(chosen)]):
            thresholds = tuple(float(threshold) if k in chosen else INF for k in range(exits))
            if kept(table, costs, thresholds, limit, "accuracy", "point"):
                best = min(best, mean_macs(table, costs, thresholds))
        return best

    def chosen(min_gain: float) -> tuple[int, ...]:
        found = solve(table, costs, Goal(limit), fitted=ones, min_gain=min_gain)
        return tuple(int(k) for k in np.flatnonzero(found.active))

    sparing = chosen(share)
    assert 0 < len(sparing) < len(chosen(0.0))
    for gone in sparing:
        assert cost(tuple(k for k in sparing if k != gone)) - cost(sparing) >= share * whole - 1e-6
