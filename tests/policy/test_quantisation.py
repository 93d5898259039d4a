from dataclasses import replace

import numpy as np
import pytest
from score_tables import made_costs, made_table

from eennc.policy.goal import Goal
from eennc.policy.quantisation import compare
from eennc.policy.statistics import loss_of
from eennc.policy.summary import summarise
from eennc.policy.table import Policy, Tables


def tables(exits: int = 2) -> Tables:
    return Tables(("a", "b"), made_costs(exits), made_table(exits, 300), made_table(exits, 200, seed=1, split="test"))


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy"])
def test_rows_are_paired(metric: str) -> None:
    """Quantised coarsely, against counts by hand and the loss against the last classifier of a table of both."""
    before = tables()
    assert before.test is not None
    unit = 0.8
    after = replace(
        before,
        calibration=replace(before.calibration, scores=np.round(before.calibration.scores / unit), unit=unit),
        test=replace(before.test, scores=np.round(before.test.scores / unit), unit=unit),
    )
    found = compare(before, after, metric)
    assert found.test is not None
    for rows, old, new in (
        (found.calibration, before.calibration, after.calibration),
        (found.test, before.test, after.test),
    ):
        assert [row.place for row in rows] == ["a", "b", "classifier"]
        for k, row in enumerate(rows):
            a, b = old.scores[k].argmax(axis=1), new.scores[k].argmax(axis=1)
            assert row.agreement == pytest.approx((a == b).mean())
            assert row.agreement < 1
            assert row.loss.point == pytest.approx(row.float_accuracy - row.int8_accuracy)
            both = replace(old, scores=np.stack([new.scores[k], old.scores[k]]))
            assert row.loss == loss_of(both, both.correct[0], metric)


def test_tables_of_different_networks_are_refused() -> None:
    one = tables()
    for other in (replace(one, places=("a", "c")), replace(one, test=None)):
        with pytest.raises(ValueError, match="different networks"):
            compare(one, other, "accuracy")
    with pytest.raises(ValueError, match="shapes"):
        compare(one, replace(one, calibration=made_table(2, 299)), "accuracy")


def test_the_share_of_tied_samples() -> None:
    given = tables()
    scores = given.calibration.scores.copy()
    scores[0, :120] = [20, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    given = replace(given, calibration=replace(given.calibration, scores=scores, rule="margin"))
    policy = Policy((0.9, 0.9), (1.0, 1.0), "margin")
    summary = summarise(given, policy, Goal(0.01), lambda limit: policy)
    assert [head.tied for head in summary.calibration.heads] == pytest.approx([120 / 300, 1 / 300])
