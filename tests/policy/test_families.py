from dataclasses import replace

import numpy as np
import pytest
from score_tables import made_costs, made_table

from eennc.policy.calibration import temperatures
from eennc.policy.choice import FAMILIES
from eennc.policy.evaluate import evaluate
from eennc.policy.families import Settings, choose_family
from eennc.policy.folds import FOLDS, folds_of
from eennc.policy.goal import Goal
from eennc.policy.held_out import SHARES
from eennc.policy.solve import solve
from eennc.policy.statistics import Limit, Metric, loss_of
from eennc.policy.table import ScoreTable

COSTS = made_costs(4, head=10)


def test_folds_are_of_whole_groups_or_even_in_classes() -> None:
    grouped = made_table(2, 300, groups=12)
    fold = folds_of(grouped, 1)
    assert grouped.groups is not None
    assert all(len(set(fold[grouped.groups == g])) == 1 for g in range(12))
    assert set(np.bincount([fold[grouped.groups == g][0] for g in range(12)])) == {2, 3}
    table = made_table(2, 303, 4)
    fold = folds_of(table, 1)
    for c in range(4):
        sizes = np.bincount(fold[table.labels == c], minlength=FOLDS)
        assert sizes.max() - sizes.min() <= 1
    assert (folds_of(table, 2) != fold).any()
    assert len(set(folds_of(made_table(2, 90, groups=3), 0))) == 3


def test_expected_loss_is_that_of_folds_left_out() -> None:
    """Fold by fold by hand: temperatures and thresholds from the others alone."""
    table, goal = made_table(4, 500, 3, 4), Goal(0.02)
    choice = choose_family(table, COSTS, goal, ("grouped",), Settings(seed=3))
    fold = folds_of(table, 3)
    correct, macs = np.zeros(500, bool), np.zeros(500)
    for number in range(FOLDS):
        rest, rows = table.rows(np.flatnonzero(fold != number)), np.flatnonzero(fold == number)
        policy = solve(rest, COSTS, goal, family="grouped", fitted=temperatures(rest), thorough=False)
        seen = evaluate(table.rows(rows), COSTS, policy)
        correct[rows], macs[rows] = seen.correct, seen.macs
    assert choice.expected is not None
    assert choice.expected.loss == loss_of(table, correct, "accuracy")
    assert choice.expected.saved == pytest.approx(1 - macs.mean() / COSTS.backbone[-1])
    assert (choice.family, choice.folds) == ("grouped", FOLDS)


def differing(n: int, seed: int) -> ScoreTable:
    """Exit 0 is right from a lower confidence on than exit 1 ever is, temperatures or not: they need two thresholds."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    scores = np.zeros((3, n, 2), np.float32)
    for k, (low, right, high, wrong) in enumerate(((0.5, 0.6, 0.7, 0.5), (2.0, 3.0, 4.0, 0.3))):
        sure = random.uniform(low, high, n)
        misled = (sure < right) & (random.random(n) < wrong)
        scores[k, np.arange(n), np.where(misled, 1 - labels, labels)] = sure
    scores[2, np.arange(n), labels] = 5
    return ScoreTable("calibration", scores, labels)


def test_a_family_that_pays_is_taken_and_one_that_does_not_is_not() -> None:
    costs = made_costs(2, head=5)
    choice = choose_family(differing(1500, 0), costs, Goal(0.01, statistic="upper95"))
    assert choice.family in ("grouped", "per-exit")
    assert [row.family for row in choice.rows] == list(FAMILIES)
    saved = {row.family: row.saved for row in choice.rows}
    assert saved[choice.family] > saved["shared"] + 0.05
    new = differing(20_000, 1)
    goal = Goal(0.01, statistic="upper95")
    policy = solve(
        differing(1500, 0),
        costs,
        goal,
        family=choice.family,
        solver="descent" if choice.family == "per-exit" else "auto",
    )
    seen = evaluate(new, costs, policy)
    assert choice.expected is not None
    assert choice.expected.loss.lower <= loss_of(new, seen.correct, "accuracy").point <= choice.expected.loss.upper
    assert choice.expected.saved == pytest.approx(1 - seen.macs.mean() / costs.backbone[-1], abs=0.03)
    # two exits that are the same leave nothing to gain
    table = made_table(1, 600, 3, 5)
    twice = replace(table, scores=table.scores[[0, 1]])
    assert (
        choose_family(twice, made_costs(1), Goal(0.02, statistic="upper95"), ("shared", "grouped")).family == "shared"
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_family_loses_no_more_out_of_fold_than_shared_or_than_is_safe(seed: int) -> None:
    table, goal = made_table(4, 600, 3, seed, noise=2.0), Goal(0.01, statistic="point")
    choice = choose_family(table, COSTS, goal, settings=Settings(seed=seed))
    chosen = next(row for row in choice.rows if row.family == choice.family)
    assert chosen == choice.expected
    assert chosen.loss.point <= max(choice.rows[0].loss.point, goal.limits[0].limit) + 1e-9
    assert choice == choose_family(table, COSTS, goal, settings=Settings(seed=seed))


def test_too_few_to_divide() -> None:
    for table, said in ((made_table(4, 39), "39 samples"), (made_table(4, 200, groups=2), "2 groups")):
        choice = choose_family(table, COSTS, Goal(0.1))
        assert (choice.family, choice.expected, choice.rows) == ("shared", None, ())
        assert said in choice.why


def test_the_family_that_reaches_a_goal_where_folds_cannot() -> None:
    choice = choose_family(made_table(4, 200, 3), COSTS, Goal(0.0, statistic="upper95", budget=0.2))
    assert (choice.family, choice.expected) == ("shared", None)
    assert "cannot reach" in choice.why


@pytest.mark.parametrize(
    "goal",
    [
        Goal(objective="best-accuracy", budget=0.6),
        Goal(objective="weighted-sum", price=3.0),
        Goal(0.05, more=(Limit("worst-class", 0.1), Limit("class 1", 0.05))),
    ],
)
def test_other_goals(goal: Goal) -> None:
    table = made_table(4, 250, 3, 2)
    choice = choose_family(table, COSTS, goal, FAMILIES[:3])
    assert choice.expected is not None
    assert choice.expected.family == choice.family
    assert -0.05 < choice.expected.loss.point < 0.4
    policy = solve(table, COSTS, goal, family=choice.family)
    seen = evaluate(table, COSTS, policy)
    assert choice.expected.saved == pytest.approx(1 - seen.macs.mean() / COSTS.backbone[-1], abs=0.1)


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy"])
def test_held_out_samples_keep_the_limit(metric: Metric) -> None:
    table, goal = made_table(4, 1500, 3, 5, noise=2.0), Goal(0.02, metric, "upper95", held_out=True)
    choice = choose_family(table, COSTS, goal, ("shared", "per-exit"))
    for row in choice.rows:
        assert row.share is not None
        # by hand: with that share the folds left out keep the limit
        plain = replace(goal, held_out=False).losing(row.share)
        found = choose_family(table, COSTS, plain, (row.family,)).expected
        assert found is not None
        assert found.loss == row.loss
        assert found.loss.upper95 <= goal.limits[0].limit
        # and a family that is asked for has the largest share with which they do
        alone = choose_family(table, COSTS, goal, (row.family,)).share
        assert alone is not None
        assert alone >= row.share
        if alone != SHARES[0]:
            more = replace(goal, held_out=False).losing(SHARES[SHARES.index(alone) - 1])
            beyond = choose_family(table, COSTS, more, (row.family,)).expected
            assert beyond is not None
            assert beyond.loss.upper95 > goal.limits[0].limit
    assert choice.share == next(row.share for row in choice.rows if row.family == choice.family)


def test_held_out_limits_are_kept_by_all_families_and_the_one_that_saves_most_is_worth_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, goal = differing(800, 1), Goal(0.02, statistic="upper95", held_out=True)
    rows = choose_family(table, made_costs(2), goal, FAMILIES[:3]).rows
    gain = max(row.saved for row in rows) - rows[0].saved
    assert gain > 0.05
    alone = choose_family(table, made_costs(2), goal, FAMILIES[:1]).rows[0]
    assert alone.share is not None
    assert rows[0].share is not None
    assert alone.share >= rows[0].share
    for worth, taken in ((gain - 1e-3, max(rows, key=lambda row: row.saved)), (gain + 1e-3, rows[0])):
        monkeypatch.setattr("eennc.policy.families.WORTH", worth)
        choice = choose_family(table, made_costs(2), goal, FAMILIES[:3])
        assert choice.expected == taken


def test_no_exit_stays_where_no_held_out_sample_keeps_the_limit() -> None:
    table = made_table(4, 200, 3, 1, noise=3.0)
    choice = choose_family(table, COSTS, Goal(0.001, statistic="upper95", held_out=True))
    assert choice.share is None
    assert choice.expected is not None
    assert choice.expected.saved == pytest.approx(0, abs=1e-9)
    assert choice.expected.loss.point == 0
