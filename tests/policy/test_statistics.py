from dataclasses import replace

import numpy as np
import pytest
from score_tables import made_table

from eennc.policy.statistics import Metric, loss_of, metric_weights, paired_loss, upper_bound
from eennc.policy.table import ScoreTable


def test_standard_error_is_root_of_disagreement_over_n() -> None:
    base = np.array([1, 1, 1, 0, 0, 1, 1, 1, 1, 1], bool)
    other = np.array([1, 0, 0, 1, 0, 1, 1, 1, 1, 1], bool)
    loss = paired_loss(base, other, np.full(10, 0.1))
    assert loss.point == pytest.approx(0.1)
    assert loss.standard_error == pytest.approx(np.sqrt(0.3 / 10))
    assert loss.upper95 == pytest.approx(0.1 + max(1.644854 * loss.standard_error, -np.log(0.05) / 10))
    assert loss.upper - loss.point == pytest.approx(loss.point - loss.lower)


def test_no_disagreement_is_the_rule_of_three() -> None:
    right = np.ones(1000, bool)
    loss = paired_loss(right, right, np.full(1000, 1e-3))
    assert loss.point == 0
    # 95 of 100 networks with a loss of this would have shown one sample
    assert (1 - loss.upper95) ** 1000 == pytest.approx(0.05, rel=0.01)
    one = paired_loss(right[:1], right[:1], np.ones(1))
    assert (one.lower, one.upper, one.upper95) == (-1, 1, 1)


def test_balanced_weights_count_classes_the_same() -> None:
    table = made_table(2, 400, classes=4, weighted=True)
    weights = metric_weights(table, "balanced-accuracy")
    np.testing.assert_allclose(np.bincount(table.labels, weights), 0.25)
    recalls = [
        [np.average(row[table.labels == c], weights=table.sample_weights[table.labels == c]) for c in range(4)]
        for row in table.correct
    ]
    for k in range(2):
        expected = np.mean(recalls[-1]) - np.mean(recalls[k])
        assert loss_of(table, table.correct[k], "balanced-accuracy").point == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy"])
@pytest.mark.parametrize("groups", [0, 30])
def test_standard_error_is_that_of_the_bootstrap(metric: Metric, groups: int) -> None:
    table = made_table(1, 1500, classes=3, seed=3, groups=groups)
    if groups:
        # groups for which the exit fails in a common way
        random = np.random.default_rng(1)
        assert table.groups is not None
        bad = np.isin(table.groups, random.choice(groups, 6, replace=False)) & (random.random(1500) < 0.5)
        scores = table.scores.copy()
        scores[0, bad] = np.roll(scores[0, bad], 1, axis=1)
        table = replace(table, scores=scores)
    loss = loss_of(table, table.correct[0], metric)
    random = np.random.default_rng(0)
    drawn: list[float] = []
    for _ in range(1500):
        if table.groups is None:
            rows = random.integers(0, 1500, 1500)
        else:
            rows = np.concatenate([np.flatnonzero(table.groups == g) for g in random.integers(0, groups, groups)])
        one = ScoreTable("again", table.scores[:, rows], table.labels[rows])
        drawn.append(loss_of(one, one.correct[0], metric).point)
    assert loss.standard_error == pytest.approx(np.std(drawn), rel=0.15)


def test_coverage() -> None:
    random = np.random.default_rng(0)
    n, rounds, harmed, helped = 1000, 3000, 0.03, 0.02
    inside, below = 0, 0
    for _ in range(rounds):
        drawn = random.random(n)
        base = drawn >= helped
        other = drawn < 1 - harmed
        loss = paired_loss(base, other, np.full(n, 1 / n))
        inside += loss.lower <= harmed - helped <= loss.upper
        below += harmed - helped <= loss.upper95
    assert 0.94 <= inside / rounds <= 0.975
    assert 0.935 <= below / rounds <= 0.98


def test_single_samples_as_groups_are_nearly_no_groups() -> None:
    table = made_table(1, 2000)
    alone = loss_of(table, table.correct[0], "accuracy")
    grouped = loss_of(replace(table, groups=np.arange(2000)), table.correct[0], "accuracy")
    assert grouped.point == alone.point
    assert grouped.standard_error == pytest.approx(alone.standard_error, rel=0.01)


def test_weights_of_integers_are_repetitions() -> None:
    table = made_table(1, 300, classes=3)
    times = np.random.default_rng(0).integers(0, 3, 300)
    weighted = replace(table, weights=times.astype(float))
    rows = np.repeat(np.arange(300), times)
    repeated = ScoreTable("repeated", table.scores[:, rows], table.labels[rows])
    for metric in ("accuracy", "balanced-accuracy"):
        expected = loss_of(repeated, repeated.correct[0], metric)
        assert loss_of(weighted, weighted.correct[0], metric).point == pytest.approx(expected.point)


@pytest.mark.parametrize("chance", [0.05, 0.0125])
def test_a_bound_is_above_the_loss_as_often_as_it_says(chance: float) -> None:
    random = np.random.default_rng(3)
    weights = np.full(400, 1 / 400)
    # two networks that are wrong equally often: nothing is lost in the mean
    losses = (paired_loss(random.random(400) < 0.9, random.random(400) < 0.9, weights) for _ in range(4000))
    missed = np.mean([upper_bound(loss, weights, chance) < 0 for loss in losses])
    assert missed == pytest.approx(chance, abs=4 * np.sqrt(chance / 4000))
    certain = paired_loss(np.ones(400, bool), np.ones(400, bool), weights)
    assert upper_bound(certain, weights, 0.05) == pytest.approx(certain.upper95)
