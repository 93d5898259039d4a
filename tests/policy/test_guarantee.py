"""Guarantees hold on a population that is known, and what they rest on is what it should be."""

import math
from dataclasses import replace

import numpy as np
import pytest
from score_tables import made_costs, made_table

from eennc.policy import guarantee as tested
from eennc.policy.candidates import candidates, divide, more_careful, worse_from
from eennc.policy.certificate import Guarantee
from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.guarantee import guaranteed
from eennc.policy.risk_tests import binomial_upper, paired_p_value
from eennc.policy.solve import solve
from eennc.policy.statistics import Metric, metric_weights
from eennc.policy.table import Costs, Policy, ScoreTable
from eennc.support.diagnostics import UserError

INF = float("inf")
COSTS = made_costs(2)


def fit(part: ScoreTable, limit: float, known: Policy | None) -> Policy:
    temperatures = None if known is None else known.temperatures
    return solve(part, COSTS, Goal(limit, statistic="upper95"), fitted=temperatures, thorough=False)


def balanced(part: ScoreTable, limit: float, known: Policy | None) -> Policy:
    return solve(part, COSTS, Goal(limit, "balanced-accuracy", "upper95"), thorough=False)


def losses(table: ScoreTable, policy: Policy) -> np.ndarray:
    return table.correct[-1].astype(float) - evaluate(table, COSTS, policy).correct


def population_losses(
    population: ScoreTable, size: int, wanted: Guarantee, draws: int, metric: Metric = "accuracy"
) -> tuple[np.ndarray, float]:
    """The loss on the population of what is certified on each of many samples from it, and how often exits were."""
    weights = metric_weights(population, metric)
    found, exits = [], 0
    for seed in range(draws):
        random = np.random.default_rng(seed)
        if population.groups is None:
            sample = population.rows(random.integers(0, len(population), size))
        else:
            names = random.integers(0, population.groups.max() + 1, size)
            rows = [np.flatnonzero(population.groups == name) for name in names]
            numbers = np.repeat(np.arange(size), [len(part) for part in rows])
            sample = replace(population.rows(np.concatenate(rows)), groups=numbers)
        policy, certificate = guaranteed(sample, COSTS, wanted, metric, fit if metric == "accuracy" else balanced)
        exits += policy.active.any()
        assert policy.active.any() == (certificate.certified > 0)
        found.append(float(weights @ losses(population, policy)))
    return np.array(found), exits / draws


@pytest.fixture(scope="module")
def population() -> ScoreTable:
    return made_table(2, 6000, classes=4, seed=11)


@pytest.mark.parametrize("method", ["ltt", "ucb"])
def test_the_limit_is_broken_as_rarely_as_promised(population: ScoreTable, method: str) -> None:
    draws, delta = 120, 0.2
    found, exits = population_losses(population, 500, Guarantee(0.02, delta, method), draws)
    assert (found > 0.02).mean() <= delta + 2 * math.sqrt(delta * (1 - delta) / draws)
    assert exits > 0.9
    assert found.mean() > 0  # something was risked


def test_an_estimate_in_the_place_of_the_test_breaks_it(
    population: ScoreTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail."""
    monkeypatch.setattr(tested, "paired_p_value", lambda a, b, n, mean, level: float((a - b) / n > mean))
    found, _ = population_losses(population, 500, Guarantee(0.02, 0.2), 60)
    assert (found > 0.02).mean() > 0.3


def test_crc_keeps_the_limit_in_expectation(population: ScoreTable) -> None:
    found, exits = population_losses(population, 300, Guarantee(0.03, method="crc"), 100)
    assert found.mean() <= 0.03 + 2 * found.std() / 10
    assert exits == 1
    assert found.max() > 0.03  # and not with certainty


def test_balanced_accuracy(population: ScoreTable) -> None:
    found, exits = population_losses(population, 800, Guarantee(0.08, 0.2), 20, "balanced-accuracy")
    assert (found > 0.08).mean() <= 0.2 + 2 * math.sqrt(0.2 * 0.8 / 20)
    assert exits > 0.9


def test_groups_are_what_is_drawn() -> None:
    """Groups that are all alike within: as samples, which they are not, they would be certain."""
    made = made_table(2, 300, classes=4, seed=3)
    rows = np.repeat(np.arange(300), 20)
    population = replace(made.rows(rows), groups=rows)
    draws, delta, wanted = 60, 0.2, Guarantee(0.04, 0.2)
    found, _ = population_losses(population, 60, wanted, draws)
    assert (found > 0.04).mean() <= delta + 2 * math.sqrt(delta * (1 - delta) / draws)
    ungrouped = []
    for seed in range(draws):
        drawn = np.random.default_rng(seed).integers(0, 300, 60)
        sample = made.rows(np.repeat(drawn, 20))
        ungrouped.append(losses(made, guaranteed(sample, COSTS, wanted, "accuracy", fit)[0]).mean())
    assert (np.array(ungrouped) > 0.04).mean() > 0.3


def test_what_is_certified_is_what_is_returned(population: ScoreTable) -> None:
    """The p-value and the bound again, of the policy that comes out, on the part that chose nothing."""
    for metric, solver in (("accuracy", fit), ("balanced-accuracy", balanced)):
        _, rows = divide(population, metric, 5)
        part = population.rows(rows)
        for method in ("ltt", "ucb", "crc"):
            wanted = Guarantee(0.02, None, method)
            policy, found = guaranteed(population, COSTS, wanted, metric, solver, seed=5)
            assert (found.method, found.metric, found.unit) == (method, metric, "sample")
            assert found.certifying == len(rows) == len(population) - found.ordering
            assert 0 < found.certified <= found.tested
            threshold = max(t for t in policy.thresholds if t < INF)
            lost = worse_from(part, policy) >= threshold if method != "ltt" else losses(part, policy)
            assert found.observed == pytest.approx(float(metric_weights(part, metric) @ lost))
            if method == "ltt" and metric == "accuracy":
                worse, better = int((lost > 0).sum()), int((lost < 0).sum())
                assert found.p_value == paired_p_value(worse, better, len(part), 0.02, 0.05) <= 0.05
                assert found.bound is None
            elif method == "ucb":
                classes = [lost[part.labels == c] for c in range(4)] if metric == "balanced-accuracy" else [lost]
                bounds = [binomial_upper(int(c.sum()), len(c), 0.05 / len(classes)) for c in classes]
                assert found.bound == pytest.approx(np.mean(bounds))
                assert found.bound <= 0.02
            elif method == "crc" and metric == "accuracy":
                assert found.bound == pytest.approx((lost.sum() + 1) / (len(part) + 1))
                assert found.bound <= 0.02
            assert f"{'in expectation' if method == 'crc' else '95 %'}" in found.statement


def test_the_certifying_part_decides_no_candidate(population: ScoreTable) -> None:
    ordering, certifying = divide(population, "accuracy", 0)
    labels = population.labels.copy()
    labels[certifying] = (labels[certifying] + 1) % 4
    tables = [table.rows(ordering) for table in (population, replace(population, labels=labels))]
    fronts = [list(candidates(table, COSTS, 0.02, fit)) for table in tables]
    assert fronts[0] == fronts[1]
    front = [*more_careful(tables[0], fronts[0][0]), *fronts[0]]
    shares = [float((evaluate(tables[0], COSTS, policy).exit < 2).mean()) for policy in front]
    assert shares == sorted(shares)
    assert len(set(shares)) > 8
    # and where everything is lost on that part, nothing is certified
    scores = population.scores.copy()
    scores[:2, certifying] = np.roll(scores[2, certifying], 1, axis=-1)
    policy, found = guaranteed(replace(population, scores=scores), COSTS, Guarantee(0.01), "accuracy", fit)
    assert not policy.active.any()
    assert (found.certified, found.tested) == (0, 1)
    assert "not clearly below the limit" in found.statement


def test_parts(population: ScoreTable) -> None:
    for metric in ("accuracy", "balanced-accuracy"):
        first, second = divide(population, metric, 3)
        assert sorted([*first, *second]) == list(range(len(population)))
        assert [part.tolist() for part in divide(population, metric, 3)] == [first.tolist(), second.tolist()]
        assert divide(population, metric, 4)[0].tolist() != first.tolist()
    counts = np.bincount(population.labels)
    assert np.bincount(population.labels[first]).tolist() == [round(0.3 * count) for count in counts]
    grouped = replace(population, groups=np.arange(len(population)) % 10)
    first, second = (set(grouped.groups[part]) for part in divide(grouped, "accuracy", 0))
    assert (len(first), len(second), first & second) == (3, 7, set())


def test_a_sample_counts_as_lost_from_its_highest_threshold_on(population: ScoreTable) -> None:
    part = population.rows(np.arange(300))
    policy = Policy((0.5, 0.5), (1.3, 0.8), shared=True)
    highest = worse_from(part, policy)
    worst = np.zeros(300)
    for threshold in np.unique(part.confidences(policy.temperatures))[::-1]:
        at = replace(policy, thresholds=(float(threshold),) * 2)
        worst = np.maximum(worst, losses(part, at))
        np.testing.assert_array_equal(worst, highest >= threshold)


@pytest.mark.parametrize(("method", "least"), [("ltt", 299), ("ucb", 299), ("crc", 99)])
def test_too_few_samples_is_an_answer(method: str, least: int) -> None:
    policy, found = guaranteed(made_table(2, 100), COSTS, Guarantee(0.01, method=method), "accuracy", fit)
    assert not policy.active.any()
    assert found.certified == 0
    assert found.needed is not None
    assert 0.7 * found.needed.least == pytest.approx(least, abs=2)
    assert f"at least {found.needed.least:,} are needed" in found.statement
    # so many are enough where nothing is lost: the exits answer what the network does
    table = made_table(2, found.needed.least, noise=0)
    table = replace(table, scores=np.repeat(table.scores[2:], 3, axis=0))
    assert guaranteed(table, COSTS, Guarantee(0.01, method=method), "accuracy", fit)[1].certified > 0
    fewer = table.rows(np.arange(found.needed.least - 4))
    assert guaranteed(fewer, COSTS, Guarantee(0.01, method=method), "accuracy", fit)[1].certified == 0


def test_the_estimate_at_the_losses_seen_is_about_enough(population: ScoreTable) -> None:
    few = population.rows(np.arange(250))
    found = guaranteed(few, COSTS, Guarantee(0.01), "accuracy", fit)[1]
    assert found.needed is not None
    assert found.needed.estimate is not None
    assert 250 < found.needed.least <= found.needed.estimate < 5000
    assert f"about {found.needed.estimate:,}" in found.statement
    more = population.rows(np.arange(2 * found.needed.estimate))
    assert guaranteed(more, COSTS, Guarantee(0.01), "accuracy", fit)[1].certified > 0


def test_three_speakers_are_too_few() -> None:
    for metric in ("accuracy", "balanced-accuracy"):
        policy, found = guaranteed(made_table(2, 900, classes=3, groups=3), COSTS, Guarantee(0.01), metric, fit)
        assert not policy.active.any()
        assert (found.unit, found.ordering, found.certifying) == ("group", 1, 2)
        assert found.needed is not None
        assert found.needed.least > 500
        assert "calibration has 3 groups" in found.statement
    alone = guaranteed(made_table(2, 900, groups=1), COSTS, Guarantee(0.01), "accuracy", fit)[1]
    assert (alone.certified, alone.certifying) == (0, 1)
    assert "too few groups" in alone.statement


def test_a_class_that_the_certifying_part_has_not(population: ScoreTable) -> None:
    one = np.append(np.flatnonzero(population.labels < 3)[:800], np.flatnonzero(population.labels == 3)[0])
    grouped = replace(population.rows(one), groups=np.arange(801) // 27)
    parts = [divide(grouped, "balanced-accuracy", seed)[0][-1] == 800 for seed in range(20)]
    with_it = parts.index(True)
    found = guaranteed(grouped, COSTS, Guarantee(0.2), "balanced-accuracy", balanced, with_it)[1]
    assert (found.certified, found.tested) == (0, 0)
    assert "of each class" in found.statement


def test_weights(population: ScoreTable) -> None:
    table = population.rows(np.arange(3000))
    wanted = Guarantee(0.02)
    plain = guaranteed(table, COSTS, wanted, "accuracy", fit)
    assert guaranteed(replace(table, weights=np.full(3000, 2.5)), COSTS, wanted, "accuracy", fit) == plain
    weights = np.where(np.arange(3000) % 2, 1.0, 0.4)
    for method in ("ltt", "ucb", "crc"):
        policy, found = guaranteed(
            replace(table, weights=weights), COSTS, Guarantee(0.02, method=method), "accuracy", fit
        )
        assert policy.active.any()
        assert "none weighs more than the heaviest" in found.statement


def test_one_threshold_is_lowered_and_not_several(population: ScoreTable) -> None:
    def apart(part: ScoreTable, limit: float, known: Policy | None) -> Policy:
        return solve(part, COSTS, Goal(limit, statistic="upper95"), family="per-exit", solver="descent", steps=20)

    few = population.rows(np.arange(800))
    for method in ("ucb", "crc"):
        with pytest.raises(UserError, match=f"method {method} lowers one shared threshold"):
            guaranteed(few, COSTS, Guarantee(0.02, method=method), "accuracy", apart)
    policy, found = guaranteed(few, COSTS, Guarantee(0.02), "accuracy", apart)
    assert found.certified > 0
    assert len(set(policy.thresholds)) == 2


def test_a_network_whose_exits_never_pay() -> None:
    costs = Costs(COSTS.backbone, COSTS.head + 100_000)
    never = Policy((INF, INF), (1.0, 1.0))
    policy, found = guaranteed(made_table(2, 500), costs, Guarantee(0.05), "accuracy", lambda *_: never)
    assert not policy.active.any()
    assert (found.certified, found.tested, found.needed) == (0, 0, None)
    assert "no exits pay" in found.statement


def test_heads_that_cost_more_than_they_save_are_left_out() -> None:
    """With a head nearly as dear as the network, a threshold that few reach costs more than it saves."""
    table = made_table(1, 700, classes=4, seed=5)
    costs = Costs(np.array([100, 1000]), np.array([850]))

    def greedy(part: ScoreTable, limit: float, known: Policy | None) -> Policy:
        return Policy((0.0,), (1.0,), shared=True)

    policy, found = guaranteed(table, costs, Guarantee(0.02, method="crc"), "accuracy", greedy)
    assert not policy.active.any()
    assert (found.certified, found.needed) == (0, None)
    assert "saves nothing" in found.statement
    cheap = Costs(costs.backbone, np.array([1]))
    policy, found = guaranteed(table, cheap, Guarantee(0.02, method="crc"), "accuracy", greedy)
    assert found.certified > 0
    # and ltt begins with those that pay
    policy, found = guaranteed(table, cheap, Guarantee(0.02), "accuracy", greedy)
    assert found.certified > 0
    assert guaranteed(table, costs, Guarantee(0.02), "accuracy", greedy)[1].certified == 0


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="crc holds in expectation and has no delta"):
        Guarantee(0.01, 0.1, "crc")
