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
