"""Verdicts against figures counted by hand and against the spread of many samples."""

import math

import numpy as np
import pytest

from eennc.policy.evaluate import evaluate
from eennc.policy.requirements import Requirement, accuracy, judge, relative_macs
from eennc.policy.table import Costs, Policy, ScoreTable, Tables

COSTS = Costs(np.array([100, 400], np.int64), np.array([20], np.int64))
POLICY = Policy((0.7,), (1.0,))


def table(samples: int = 400, seed: int = 0, groups: int | None = None) -> ScoreTable:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, samples)
    scores = random.normal(0, 1, (2, samples, 3)).astype(np.float32)
    for row, strength in enumerate((1.5, 3)):
        scores[row, np.arange(samples), labels] += strength
    belongs = None if groups is None else np.arange(samples) % groups
    return ScoreTable("test", scores, labels, groups=belongs)


def tables(found: ScoreTable) -> Tables:
    return Tables(("a",), COSTS, table(50, 9), found)


def test_values_are_counted():
    found = table()
    evaluation = evaluate(found, COSTS, POLICY)
    right = float(evaluation.correct.mean())
    base = float(found.correct[-1].mean())
    recalls = [evaluation.correct[found.labels == label].mean() for label in range(3)]
    base_recalls = [found.correct[-1][found.labels == label].mean() for label in range(3)]
    expected = {
        "accuracy": right,
        "accuracy_drop": base - right,
        "balanced_accuracy": float(np.mean(recalls)),
        "balanced_accuracy_drop": float(np.mean(base_recalls) - np.mean(recalls)),
        "mean_macs": float(np.where(evaluation.exit == 0, 120, 420).mean() / 400),
    }
    for quantity, value in expected.items():
        verdict = judge(Requirement(quantity, value), tables(found), POLICY)
        assert verdict.value == pytest.approx(value)
        assert verdict.met
        assert verdict.samples == 400
        assert verdict.lower < value < verdict.upper
        bad = verdict.lower < verdict.bound < value if verdict.requirement.at_least else value < verdict.bound
        assert bad
        step = 1e-3 if verdict.requirement.at_least else -1e-3
        assert not judge(Requirement(quantity, value + step), tables(found), POLICY).met
        assert not judge(Requirement(quantity, value, statistic="upper95"), tables(found), POLICY).met
        assert judge(Requirement(quantity, verdict.bound, statistic="upper95"), tables(found), POLICY).met


def test_calibration_is_judged_on_calibration():
    assert judge(Requirement("accuracy", 0.1, "calibration"), tables(table()), POLICY).samples == 50
    with pytest.raises(ValueError, match="no table of the test split"):
        judge(Requirement("accuracy", 0.1), Tables(("a",), COSTS, table()), POLICY)


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy"])
def test_standard_errors_are_the_spread_of_many_samples(metric):
    draws = [table(300, seed) for seed in range(300)]
    evaluations = [evaluate(draw, COSTS, POLICY) for draw in draws]
    shares = [accuracy(d, e.correct, metric) for d, e in zip(draws, evaluations, strict=True)]
    assert np.mean([s.standard_error for s in shares]) == pytest.approx(np.std([s.value for s in shares]), rel=0.15)
    macs = [relative_macs(d, e.macs, 400) for d, e in zip(draws, evaluations, strict=True)]
    assert np.mean([m.standard_error for m in macs]) == pytest.approx(np.std([m.value for m in macs]), rel=0.15)


def test_plain_formula():
    correct = np.arange(100) < 80
    found = accuracy(table(100), correct, "accuracy")
    assert found.value == pytest.approx(0.8)
    assert found.standard_error == pytest.approx(math.sqrt(0.8 * 0.2 / 100))


def test_groups_that_agree_within_widen_the_interval():
    by_group = table(400, groups=8)
    correct = np.arange(400) % 8 < 6
    alone = accuracy(table(400), correct, "accuracy").standard_error
    together = accuracy(by_group, correct, "accuracy").standard_error
    # eight answers, six right: sqrt(p (1 - p) / (G - 1))
    assert together == pytest.approx(math.sqrt(0.75 * 0.25 / 7))
    assert together > 5 * alone


def test_all_right_is_not_certain():
    perfect = judge(Requirement("accuracy", 0.99, statistic="upper95"), tables(_perfect()), POLICY)
    assert perfect.value == 1
    assert perfect.bound == pytest.approx(1 + math.log(0.05) / 100)
    assert not perfect.met


def _perfect() -> ScoreTable:
    labels = np.arange(100) % 3
    scores = np.repeat(8 * np.eye(3, dtype=np.float32)[labels][None], 2, axis=0)
    return ScoreTable("test", scores, labels)
