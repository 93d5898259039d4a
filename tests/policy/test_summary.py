import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from score_tables import made_costs, made_table

from eennc.policy.evaluate import evaluate
from eennc.policy.front import Figures, pareto_front
from eennc.policy.goal import Goal
from eennc.policy.solve import solve
from eennc.policy.statistics import NO_LOSS, SLACK, Metric, Statistic, loss_of, paired_loss
from eennc.policy.summary import Summary, recommended_samples, summarise
from eennc.policy.table import Policy, Tables

INF = float("inf")


def tables(exits: int = 5, test: bool = True, groups: int = 0) -> Tables:
    return Tables(
        tuple(f"layer{k}" for k in range(exits)),
        made_costs(exits),
        made_table(exits, 600, classes=4, groups=groups),
        made_table(exits, 500, classes=4, seed=1, groups=groups, split="test") if test else None,
    )


def summary(
    given: Tables, policy: Policy | None = None, metric: Metric = "accuracy", by: Statistic = "point"
) -> Summary:
    def solve_for(goal: Goal) -> Policy:
        return solve(given.calibration, given.costs, goal)

    goal = Goal(0.02, metric, by)
    return summarise(given, policy or solve_for(goal), goal, solve_for)


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy"])
def test_rows_add_up_to_the_whole(metric: Metric) -> None:
    given = tables(groups=5)
    found = summary(given, metric=metric)
    for split, table in ((found.calibration, given.calibration), (found.test, given.test)):
        assert split is not None
        assert table is not None
        assert split.samples == len(table)
        assert split.groups == 5
        assert sum(row.share for row in split.exits) == pytest.approx(1)
        assert sum(row.share * row.macs for row in split.exits) == pytest.approx(split.eenn.macs)
        accuracy = sum(row.share * row.accuracy for row in split.exits if row.accuracy is not None)
        assert accuracy == pytest.approx(split.eenn.accuracy)
        assert split.eenn.loss.point == pytest.approx(split.base.accuracy - split.eenn.accuracy)
        assert split.eenn.balanced_loss.point == pytest.approx(
            split.base.balanced_accuracy - split.eenn.balanced_accuracy
        )
        assert split.eenn.saved == pytest.approx(1 - split.eenn.macs / split.base.macs)
        assert split.base.loss == NO_LOSS
        assert split.eenn.recall[2] == pytest.approx(
            evaluate(table, given.costs, policy_of(found, given)).correct[table.labels == 2].mean()
        )
        assert len(split.heads) == 5
    assert found.calibration.eenn.loss_in(metric).point <= 0.02 + SLACK


def policy_of(found: Summary, given: Tables) -> Policy:
    thresholds = {row.place: row.threshold for row in found.calibration.exits}
    heads = found.calibration.heads
    return Policy(
        tuple(float(thresholds[head.place] or 0) if head.kept else INF for head in heads),
        tuple(head.temperature for head in heads),
    )


@pytest.mark.parametrize("by", ["point", "upper95"])
def test_static_cut_is_the_cheapest_that_keeps_the_limit_on_calibration(by: Statistic) -> None:
    given = tables()
    found = summary(given, Policy((INF,) * 5, (1.0,) * 5), by=by)
    losses = [loss_of(given.calibration, given.calibration.correct[k], "accuracy").of(by) for k in range(5)]
    macs = given.costs.backbone[:-1] + given.costs.head
    allowed = [k for k in range(5) if losses[k] <= 0.02]
    if allowed:
        best = min(allowed, key=lambda k: macs[k])
        assert found.static_place == f"layer{best}"
        assert found.calibration.static.macs == pytest.approx(macs[best])
        assert found.test is not None
        assert given.test is not None
        assert found.test.static.accuracy == pytest.approx(given.test.correct[best].mean())
    else:
        assert found.static_place is None
        assert found.calibration.static == found.calibration.base


def test_never_exit_is_the_base_network() -> None:
    found = summary(tables(), Policy((INF,) * 5, (1.0,) * 5))
    assert found.calibration.eenn == found.calibration.base
    assert [row.place for row in found.calibration.exits] == ["classifier"]
    assert found.calibration.near_threshold == 0


def test_samples_near_a_threshold_on_their_way_are_counted() -> None:
    given = tables()
    confidence = given.calibration.confidences((1.0,) * 5)
    at = float(np.sort(confidence[1][confidence[0] < 0.9])[50])
    found = summary(given, Policy((0.9, at, INF, INF, INF), (1.0,) * 5))
    near = (np.abs(confidence[0] - 0.9) < 1e-4) | ((np.abs(confidence[1] - at) < 1e-4) & (confidence[0] < 0.9))
    assert found.calibration.near_threshold == near.sum() >= 1


def test_front_and_json() -> None:
    found = summary(tables())
    for first, then in itertools.pairwise(found.front):
        assert first.limit < then.limit
        assert first.calibration.saved < then.calibration.saved
        assert first.calibration.loss.point < then.calibration.loss.point
    assert all(point.calibration.loss.point <= point.limit + SLACK for point in found.front)
    own = next(point for point in found.front if point.limit == found.limit)
    assert own.calibration.saved == pytest.approx(found.calibration.eenn.saved)
    assert found.test is not None
    assert own.test == Figures(found.test.eenn.loss, found.test.eenn.saved)
    assert pareto_front(tables(), Goal(0.02)) == found.front
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["calibration"]["samples"] == 600


def test_without_a_test_split_and_without_exits() -> None:
    found = summary(tables(test=False))
    assert found.test is None
    assert all(point.test is None for point in found.front)
    bare = summary(tables(0))
    assert bare.static_place is None
    assert bare.calibration.eenn == bare.calibration.base
    json.dumps(asdict(bare), allow_nan=False)


@pytest.mark.parametrize("limit", [0.005, 0.02])
def test_as_many_samples_as_recommended_bring_the_margin_to_half_the_limit(limit: float) -> None:
    random = np.random.default_rng(0)
    for share in (0.0, 0.03):
        base, other = np.ones(1000, bool), random.random(1000) >= share
        loss = paired_loss(base, other, np.full(1000, 1 / 1000))
        wanted = recommended_samples(loss, 1000, limit)
        repeated = np.resize(other, wanted)
        there = paired_loss(np.ones(wanted, bool), repeated, np.full(wanted, 1 / wanted))
        assert there.upper95 - there.point == pytest.approx(limit / 2, rel=0.05)
