from statistics import NormalDist

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
        compared.found[family, SHARES[3]] = OutOfFold(table.correct[-1] ^ rows, macs)
    weights = np.full(900, 1 / 900)
    assert compared.chance(families[:1], weights) == 0.05
    assert compared.chance(families, weights) == pytest.approx(chance, abs=0.004)
    # what is sure to keep the limit does, what loses as much as the limit does not
    assert compared.keeps(OutOfFold(table.correct[-1], macs), families)
    wrong = table.correct[-1].copy()
    wrong[np.flatnonzero(wrong)[:18]] = False
    assert not compared.keeps(OutOfFold(wrong, macs), families)


def losing(table: ScoreTable, rows: slice, macs: int) -> OutOfFold:
    """Out of fold wrong on these of the samples that the network is right on, at the same cost for all."""
    correct = table.correct[-1].copy()
    correct[np.flatnonzero(correct)[rows]] = False
    return OutOfFold(correct, np.full(len(table), macs))


@pytest.mark.parametrize("apart", [True, False])
def test_how_surely_a_family_saves_more(apart: bool) -> None:
    """By hand: of losses that are normal, chance is what keeps a limit that is kept now."""
    table = made_table(2, 900, 3, 1)
    compared = held_out(table)
    families = FAMILIES[:2]
    for share in SHARES:
        much, few = losing(table, slice(0, 200), 100), losing(table, slice(0, 9), 1500)
        other = losing(table, slice(9, 18) if apart else slice(0, 9), 1000)
        # the whole limit is kept by neither
        compared.found["shared", share] = much if share == 1 else few
        compared.found["grouped", share] = much if share == 1 else other
    assert compared.kept("shared", families[:1])[0] == compared.kept("grouped", families)[0] == SHARES[1]

    def kept_again(found: OutOfFold, among: tuple[Family, ...]) -> float:
        error = np.sqrt(9) / 900
        return NormalDist().cdf(float(compared.room(found, among)[0]) / error)

    other_again = kept_again(compared.under("grouped", SHARES[1]), families)
    assert 0.55 < other_again < 0.999
    assert compared.saves_more("shared", "grouped", families) == pytest.approx(other_again, abs=0.01)
    # it saves less, so more only where the other does not keep the limit
    few_again = kept_again(compared.under("shared", SHARES[1]), ("shared",))
    swapped = held_out(table)
    for (family, share), found in compared.found.items():
        swapped.found["grouped" if family == "shared" else "shared", share] = found
    other_alone = kept_again(compared.under("grouped", SHARES[1]), ("shared",))
    few_among = kept_again(compared.under("shared", SHARES[1]), families)
    assert few_again >= few_among
    wanted = few_among * (1 - other_alone) if apart else 0.0
    assert swapped.saves_more("shared", "grouped", families) == pytest.approx(wanted, abs=0.01)
