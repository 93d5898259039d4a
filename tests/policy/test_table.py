from dataclasses import replace

import numpy as np
import pytest
from score_tables import made_costs, made_table

from eennc.policy.evaluate import evaluate
from eennc.policy.table import Costs, Policy, ScoreTable, Tables
from eennc.support.diagnostics import UserError

INF = float("inf")


def test_evaluation_is_that_of_a_loop() -> None:
    table, costs = made_table(4, 200, classes=3), made_costs(4)
    policy = Policy((0.9, INF, 0.7, 0.5), (1.5, 1.0, 0.8, 2.0))
    found = evaluate(table, costs, policy)
    for s in range(200):
        macs = 0
        for k in range(5):
            stop = k == 4
            if k < 4 and policy.thresholds[k] < INF:
                macs += int(costs.head[k])
                z = table.scores[k, s].astype(np.float64) / policy.temperatures[k]
                stop = np.exp(z).max() / np.exp(z).sum() >= policy.thresholds[k]
            if stop:
                assert found.exit[s] == k
                assert found.correct[s] == (table.scores[k, s].argmax() == table.labels[s])
                assert found.macs[s] == macs + costs.backbone[k]
                break


def test_a_threshold_is_met_by_its_own_value() -> None:
    table, costs = made_table(1, 50), made_costs(1)
    for threshold in table.confidences((1.0,))[0]:
        fired = evaluate(table, costs, Policy((float(threshold),), (1.0,))).exit == 0
        np.testing.assert_array_equal(fired, table.confidences((1.0,))[0] >= threshold)
    assert (evaluate(table, costs, Policy((INF,), (1.0,))).exit == 1).all()


def test_no_exits() -> None:
    table = made_table(0, 20)
    found = evaluate(table, made_costs(0), Policy((), ()))
    assert (found.exit == 0).all()
    assert (found.macs == made_costs(0).backbone[0]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(4, np.int64)}, "labels of shape"),
        ({"labels": np.full(5, 3)}, "a label of the train split is 3; the network has 3 classes"),
        ({"labels": np.full(5, -1)}, "is -1"),
        ({"scores": np.full((2, 5, 3), np.nan, np.float32)}, "NaN"),
        ({"scores": np.ones((2, 5, 3), np.float32)}, "the same scores"),
        ({"scores": np.ones((2, 0, 3), np.float32), "labels": np.zeros(0, np.int64)}, "is empty"),
        ({"weights": np.full(5, -1.0)}, "negative"),
        ({"weights": np.zeros(5)}, "all weights"),
        ({"groups": np.zeros(6, np.int64)}, "groups of shape"),
    ],
)
def test_what_nothing_can_be_learned_from(changes: dict[str, object], message: str) -> None:
    random = np.random.default_rng(0)
    table = ScoreTable("train", random.normal(size=(2, 5, 3)).astype(np.float32), np.zeros(5, np.int64))
    with pytest.raises(UserError, match=message):
        replace(table, **changes)


def test_a_head_that_answers_the_same_always_is_no_error() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    scores[0] = 1
    assert ScoreTable("train", scores, np.zeros(5, np.int64)).exits == 1


def test_numbers_of_exits_that_differ() -> None:
    with pytest.raises(ValueError, match="numbers of exits"):
        Tables(("a",), made_costs(1), made_table(2, 10))
    with pytest.raises(ValueError, match="shapes"):
        Costs(np.arange(3), np.arange(3))
