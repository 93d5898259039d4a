import numpy as np
import pytest
from score_tables import made_costs, made_table

from eennc.policy.choice import FAMILIES, Family
from eennc.policy.folds import OutOfFold
from eennc.policy.goal import Goal
from eennc.policy.held_out import SHARES, HeldOut
from eennc.policy.table import ScoreTable


def held_out(table: ScoreTable) -> HeldOut:
    """Of which all that is needed is put in."""

    def of(family: Family, goal: Goal) -> OutOfFold:
        raise AssertionError(f"{family} is looked at under {goal}")

    return HeldOut(table, made_costs(2), Goal(0.02, statistic="upper95", held_out=True), of)


@pytest.mark.parametrize(("apart", "chance"), [(True, 1 - 0.95 ** (1 / 3)), (False, 0.05)])
def test_bounds_hold_for_all_families_at_once(apart: bool, chance: float) -> None:
    """Sidak's chance where families lose on samples of their own, that of a single one where they lose on the same."""
    table = made_table(2, 900, 3, 1)
    compared = held_out(table)
    families = FAMILIES[:3]
    macs = np.zeros(len(table), np.int64)
    for number, family in enumerate(families):
        rows = np.arange(900) % 3 == (number if apart else 0)
        compared.found[family, SHARES[len(SHARES) // 2]] = OutOfFold(table.correct[-1] ^ rows, macs)
    weights = np.full(900, 1 / 900)
    assert compared.chance(families[:1], weights) == 0.05
    assert compared.chance(families, weights) == pytest.approx(chance, abs=0.004)
    # what is sure to keep the limit does, what loses as much as the limit does not
    assert compared.keeps(OutOfFold(table.correct[-1], macs), families)
    wrong = table.correct[-1].copy()
    wrong[np.flatnonzero(wrong)[:18]] = False
    assert not compared.keeps(OutOfFold(wrong, macs), families)


def losing(table: ScoreTable, count: int) -> OutOfFold:
    """Out of fold wrong on so many of the samples that the network is right on."""
    correct = table.correct[-1].copy()
    correct[np.flatnonzero(correct)[:count]] = False
    return OutOfFold(correct, np.full(len(table), 100))


@pytest.mark.parametrize("at", range(len(SHARES) + 1))
def test_the_largest_share_that_keeps_the_limit_is_taken(at: int) -> None:
    table = made_table(2, 900, 3, 1)
    compared = held_out(table)
    for number, share in enumerate(SHARES):
        # the bound of 12 lost of 900 is 1.97 points, of 13 it is 2.10
        compared.found["shared", share] = losing(table, 12 if number >= at else 13)
    share, found = compared.kept("shared", FAMILIES[:1])
    if at == len(SHARES):
        assert share is None
        assert (found.correct == table.correct[-1]).all()
        assert found.saved(table, compared.costs) == pytest.approx(0)
    else:
        assert share == SHARES[at]
        assert found is compared.found["shared", share]
