"""Blocks of exits and what their multipliers prove, against all policies there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_tables import made_costs, made_table

from eennc.policy.solvers.blocks import Block, least_of_block
from eennc.policy.solvers.decomposition import Linear, ascend, at_stake, block_of, multipliers_of, priced, tighten
from eennc.policy.solvers.off_grid import bound_of_any
from eennc.policy.solvers.per_exit import Grids, grids, policy_value
from eennc.policy.solvers.problem import Problem, keeps, problem
from eennc.policy.statistics import SLACK


def value(block: Block, policy: tuple[int, ...]) -> float:
    """What a block comes to, by its meaning."""
    total = 0.0
    for s in range(block.levels.shape[1]):
        heads, at = 0.0, len(policy)
        for k, index in enumerate(policy):
            if index < block.never:
                heads += block.head[k]
                if block.levels[k, s] > index:
                    at = k
                    break
        total += min(block.cap, block.share[s] * heads + block.own[at, s])
    return total


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), exits=st.integers(1, 5), capped=st.booleans(), never=st.integers(1, 4))
def test_a_block_is_enumerated_as_brute_force_does(seed: int, exits: int, capped: bool, never: int) -> None:
    random = np.random.default_rng(seed)
    low = random.integers(0, never + 1, exits)
    high = np.array([random.integers(at, never + 1) for at in low])
    block = Block(
        own=random.normal(size=(exits + 1, 12)),
        cap=0.0 if capped else np.inf,
        share=random.uniform(0.5, 2, 12),
        head=random.uniform(0, 0.3, exits),
        levels=random.integers(0, never + 1, (exits, 12)).astype(np.int32),
        never=never,
        low=low,
        high=high,
    )
    policies = itertools.product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))
    wanted = {policy: value(block, policy) for policy in policies}
    chosen, none = np.zeros(exits, np.int64), np.zeros((0, 0))
    least = np.zeros((exits, never + 1))
    found = least_of_block(block, chosen, none)
    assert found == pytest.approx(min(wanted.values()))
    assert value(block, tuple(chosen.tolist())) == pytest.approx(found)
    assert least_of_block(block, chosen, least) == pytest.approx(found)
    for k in range(exits):
        for i in range(never + 1):
            with_it = [total for policy, total in wanted.items() if policy[k] == i]
            assert least[k, i] == pytest.approx(min(with_it, default=np.inf))


def posed(seed: int, limit: float) -> tuple[Problem, Grids, Linear]:
    """A problem of 4 exits, and its linear form."""
    made = problem(
        made_table(4, 40, classes=3, seed=seed, noise=2.0),
        made_costs(4, head=80, seed=seed),
        (1.0,) * 4,
        limit,
        price=0.0 if limit < 1 else 1.0,
    )
    network = made.backbone[-1]
    linear = Linear(
        made.weights[0] * made.lost * (limit < 1),
        made.worth * made.lost / network,
        made.share,
        made.backbone / network,
        made.head / network,
        limit + SLACK,
    )
    return made, grids(made, 4), linear


def every(made: Problem, given: Grids) -> dict[tuple[int, ...], float]:
    """The cost of all policies that keep the limit, in networks."""
    found: dict[tuple[int, ...], float] = {}
    for policy in itertools.product(range(given.never + 1), repeat=made.exits):
        cost, over = policy_value(made, given.levels, given.never, np.array(policy))
        if keeps(over):
            found[policy] = cost / float(made.backbone[-1])
    return found


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    limit=st.sampled_from([0.05, 1.0]),
    cuts=st.sampled_from([(0, 4), (0, 3, 4), (0, 1, 3, 4), (0, 1, 2, 3, 4)]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
    price=st.sampled_from([0.0, 0.7, 5.0]),
)
def test_whatever_the_multipliers_nothing_is_cheaper_than_the_bound(
    seed: int, limit: float, cuts: tuple[int, ...], spread: float, price: float
) -> None:
    made, given, linear = posed(seed, limit)
    price = price if limit < 1 else 0.0
    at = np.array(cuts)
    policies = every(made, given)
    optimum = min(policies.values())
    random = np.random.default_rng(seed)
    start = multipliers_of(linear, given.levels, given.never, np.full(4, given.never), at, price)
    multipliers = start + spread * random.normal(size=start.shape)
    low, high = np.zeros(4, np.int64), np.full(4, given.never)
    target = optimum * 1.05
    bound = tighten(linear, given.levels, given.never, low, high, at, multipliers, price, target)
    assert bound <= optimum * (1 + 1e-9)
    # what is cut off costs the target at least
    cheaper = [p for p, cost in policies.items() if cost < target * (1 - 1e-9)]
    assert all((np.array(p) >= low).all() and (np.array(p) <= high).all() for p in cheaper)
    if max(np.diff(at)) <= 3:
        fine = grids(made, made.confidences.size)
        any_of_them = bound_of_any(linear, fine.levels, fine.never, at, multipliers, price)
        assert any_of_them <= optimum * (1 + 1e-9)


@pytest.mark.parametrize("limit", [0.05, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_an_ascent_comes_near_the_optimum(seed: int, limit: float) -> None:
    made, given, linear = posed(seed, limit)
    optimum = min(every(made, given).values())
    cuts, low, high = np.array([0, 2, 4]), np.zeros(4, np.int64), np.full(4, given.never)
    multipliers = multipliers_of(linear, given.levels, given.never, np.full(4, given.never), cuts, 0.0)
    stop = priced(linear, 0.0)
    none = np.zeros((0, 0))
    before = sum(
        least_of_block(
            block_of(linear, stop, given.levels, given.never, low, high, cuts, multipliers, b),
            np.zeros(2, np.int64),
            none,
        )
        for b in range(2)
    )
    met = np.full(4, given.never)
    grown = ascend(made, linear, given.levels, given.never, low, high, cuts, multipliers, 0.0, optimum, 300, 1.0, met)
    assert before < grown.bound <= optimum * (1 + 1e-9)
    assert grown.bound >= 0.9 * optimum


def test_what_is_at_stake_is_an_expectation_over_all_thresholds() -> None:
    made, given, linear = posed(0, 0.05)
    price, exits, last = 0.7, made.exits, given.never
    shares = np.random.default_rng(0).dirichlet(np.ones(last + 1), exits)
    stop = priced(linear, price)

    def comes_to(sample: int, first: int) -> float:
        """From exit `first` on, in the mean over the thresholds of all exits from there."""
        mean = 0.0
        for policy in itertools.product(range(last + 1), repeat=exits - first):
            likely, heads, at = 1.0, 0.0, exits
            for k, i in enumerate(policy, start=first):
                likely *= shares[k, i]
                if at == exits:
                    heads += linear.share[sample] * linear.head[k] * (i < last)
                    at = k if given.levels[k, sample] > i else at
            mean += likely * (heads + stop[at, sample])
        return mean

    for k in range(exits):
        wanted = 0.0
        for s in range(given.levels.shape[1]):
            stops = [float(shares[j, : given.levels[j, s]].sum()) for j in range(exits)]
            reach = np.prod([1 - part for part in stops[:k]])
            wanted += reach * stops[k] * (1 - stops[k]) * abs(stop[k, s] - comes_to(s, k + 1))
        assert at_stake(linear, given.levels, shares, price)[k] == pytest.approx(wanted)
